// Both pages: a list of orders that follows the channel in data-channel.

import { RtmClient } from "/rtm.js";

const list = document.querySelector("#orders");
const { channel, shop, source, token: tokenUrl, desk } = list.dataset;
const name = Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const orders = new Map();

const connection = document.querySelector("#connection");
const notice = (text) => { document.querySelector("#notice").textContent = text; };

// What the page shows -------------------------------------------------------------------------------------------

function button(text, action) {
    const made = document.createElement("button");
    made.textContent = text;
    made.addEventListener("click", async () => {
        made.disabled = true;
        notice("");
        try {
            await action();
        } catch (error) {
            notice(`That did not work: ${error.message}`);
        } finally {
            made.disabled = false;
        }
    });
    return made;
}

function row(order) {
    const item = document.createElement("li");
    item.dataset.order = order.id;
    item.dataset.status = order.status;
    for (const [kind, text] of [["dish", `${order.id}: ${order.dish}`], ["status", order.status]]) {
        const part = document.createElement("span");
        part.className = kind;
        part.textContent = text;
        item.append(part);
    }
    if (desk) item.append(button("Next", () => post(`/orders/${order.id}/next`)));
    else if (order.status === "received") item.append(button("Cancel", () => cancel(order.id)));
    return item;
}

function show() {
    const wanted = [...orders.values()].filter(({ status }) => !desk || !["collected", "cancelled"].includes(status));
    wanted.sort((one, other) => (desk ? one.id - other.id : other.id - one.id));
    list.replaceChildren(...wanted.map(row));
}

// Messages may overtake the answer to a fetch: the higher version is the newer one.
function take(order) {
    if ((orders.get(order.id)?.version ?? 0) < order.version) orders.set(order.id, order);
}

// What it says and hears ----------------------------------------------------------------------------------------

async function post(url) {
    const answer = await fetch(url, { method: "POST" });
    if (!answer.ok) throw new Error(`the site answered ${answer.status}`);
    return answer.json();
}

async function cancel(id) {
    await client.sendPeer(shop, JSON.stringify({ cancel: id }), { offline: true });
}

const access = () => post(`${tokenUrl}?page=${name}${desk ? "&desk=1" : ""}`);

async function refresh() {
    try {
        const answer = await fetch(source);
        if (!answer.ok) throw new Error(`the site answered ${answer.status}`);
        (await answer.json()).forEach(take);
    } catch (error) {
        notice(`The list may be old: ${error.message}.`);
    }
    show();
}

function changed({ detail: { state, reason, previous } }) {
    connection.dataset.state = state;
    connection.textContent = state;
    connection.title = reason;
    if (state === "CONNECTED" && previous === "RECONNECTING") refresh(); // what was not announced meanwhile
    if (state === "ABORTED") notice("This page was put out by another login. Reload it to come back.");
}

JSON.parse(list.dataset.orders).forEach(take);
show();

const { url, app_id: appId, user: userId } = await access();
const client = new RtmClient({ url, appId, userId, token: async () => (await access()).token });
window.rtm = client; // for curious people at the console

client.addEventListener("state", changed);
client.addEventListener("message", ({ detail }) => {
    take(JSON.parse(detail.text));
    show();
});
client.addEventListener("peermessage", ({ detail }) => {
    const said = JSON.parse(detail.text);
    if (said.refused) notice(`Order ${said.refused} cannot be cancelled: ${said.why}.`);
});
client.addEventListener("lost", refresh);
client.addEventListener("expelled", async () => {
    await client.join(channel);
    await refresh();
});

// Until somebody is there to answer; later cuts are the client's own business.
for (let wait = 1000; client.state === "DISCONNECTED"; wait = Math.min(2 * wait, 30_000)) {
    try {
        await client.login();
    } catch (error) {
        notice(`Not connected: ${error.message}. Trying again.`);
        await new Promise((resolve) => setTimeout(resolve, wait));
    }
}
notice("");
await client.join(channel); // first join, then look: nothing falls in between
await refresh();
