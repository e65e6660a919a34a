// One connection to the RTM server for each page.

import { RtmClient } from "../rtmsync/rtm.js";

/** What the view has told this page. */
export const page = JSON.parse(document.getElementById("page").textContent);

/** Show a text in an element. */
export function show(id, text) {
    document.getElementById(id).textContent = text;
}

const bytes = crypto.getRandomValues(new Uint8Array(4));
const tab = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Send a form to a view. */
export async function post(url, body) {
    const csrf = document.querySelector("meta[name=csrf-token]").content;
    const response = await fetch(url, { method: "POST", body, headers: { "X-CSRFToken": csrf } });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    return response;
}

async function access() {
    return (await post(page.token, new URLSearchParams({ tab }))).json();
}

/** Make a client that shows its state, and gets its tokens from the site. */
export async function connection() {
    const first = await access();
    const rtm = new RtmClient({
        url: first.url,
        appId: first.app_id,
        userId: first.user,
        token: async () => (await access()).token,
    });
    rtm.addEventListener("state", ({ detail }) => show("state", detail.state));
    return rtm;
}
