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
    // From the cookie, each time: a login in another tab changes it, and what this page was given holds no more.
    const csrf = /(?:^|; )csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? "";
    const response = await fetch(url, { method: "POST", body, headers: { "X-CSRFToken": csrf } });
    if (!response.ok) throw new Error(`the site answered ${response.status}`);
    return response;
}

async function access() {
    return (await post(page.token, new URLSearchParams({ tab }))).json();
}

/** Make a client that shows its state, and gets its tokens from the site. */
export async function connection() {
    const { url, app_id: appId, user: userId, token: first } = await access();
    let unused = first; // for the first login; whoever comes back needs a new one
    const token = async () => {
        const ready = unused ?? (await access()).token;
        unused = null;
        return ready;
    };
    const rtm = new RtmClient({ url, appId, userId, token });
    rtm.addEventListener("state", ({ detail }) => {
        show("state", detail.state);
        show("retry", "");
        if (detail.state === "CONNECTED") show("notice", "");
        document.getElementById("state").dataset.state = detail.state;
        if (detail.state === "ABORTED") show("notice", `The connection is over: ${detail.reason}. Reload the page to come back.`);
    });
    rtm.addEventListener("retry", ({ detail }) => {
        if (rtm.state === "RECONNECTING") show("retry", `Attempt ${detail.attempt} in ${Math.ceil(detail.delay / 1000)} s.`);
    });
    rtm.addEventListener("error", ({ detail }) => {
        if (rtm.state !== "CONNECTED") show("notice", detail.error.message);
    });
    return rtm;
}

/** Log in and join the page's channel, for as long as it takes. */
export async function enter(rtm) {
    for (let wait = 1; rtm.state === "DISCONNECTED"; wait = Math.min(2 * wait, 30)) {
        try {
            await rtm.login(); // from here on the client comes back by itself
        } catch (error) {
            show("notice", `Not connected: ${error.message}. The next attempt is in ${wait} s.`);
            await new Promise((resolve) => setTimeout(resolve, wait * 1000));
        }
    }
    await rtm.join(page.channel);
}
