// Both pages: a list of orders that follows the channel in data-channel.

import { RtmClient } from "/rtm.js";

const list = document.querySelector("#orders");
const { channel, shop, source, token: tokenUrl, desk } = list.dataset;
const name = Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const orders = new Map();

const connection = document.querySelector("#connection");
const retry = (text) => { document.querySelector("#retry").textContent = text; };
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

function row({ id, dish }) {
    const item = document.createElement("li");
    item.dataset.order = id;
    for (const [kind, text] of [["dish", `${id}: ${dish}`], ["status", ""]]) {
        const part = document.createElement("span");
        part.className = kind;
        part.textContent = text;
        item.append(part);
    }
    const act = desk ? button("Next", () => next(id)) : button("Cancel", () => cancel(id));
    act.setAttribute("aria-label", desk ? `Next status of order ${id}` : `Cancel order ${id}`);
    item.append(act);
    return item;
}

// Rows stay, and only what is new in them changes: so a button keeps the focus, and a screen reader says what is new.
function show() {
    const wanted = [...orders.values()].filter(({ status }) => !desk || !["collected", "cancelled"].includes(status));
    wanted.sort((one, other) => (desk ? one.id - other.id : other.id - one.id));
    const rows = new Map([...list.children].map((item) => [Number(item.dataset.order), item]));
    wanted.forEach((order, place) => {
        const item = rows.get(order.id) ?? row(order);
        rows.delete(order.id);
        const status = item.querySelector(".status");
        if (status.textContent !== order.status) status.textContent = order.status;
        item.dataset.status = order.status;
        item.querySelector("button").hidden = !desk && order.status !== "received";
        if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
    });
    for (const item of rows.values()) item.remove();
    document.querySelector("#none").hidden = wanted.length > 0;
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

async function next(id) {
    take(await post(`/orders/${id}/next`)); // the message may be late, or nobody there to send it
    show();
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
    retry("");
    if (state === "CONNECTED" && previous === "RECONNECTING") refresh(); // what was not announced meanwhile
    if (state === "ABORTED") notice("This page was put out by another login. Reload it to come back.");
}

JSON.parse(list.dataset.orders).forEach(take);
show();

const { url, app_id: appId, user: userId, token: first } = await access();
let unused = first; // for the first login; whoever comes back needs a new one
const token = async () => {
    const ready = unused ?? (await access()).token;
    unused = null;
    return ready;
};
const client = new RtmClient({ url, appId, userId, token });
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
client.addEventListener("retry", ({ detail: { attempt, delay } }) => {
    if (client.state === "RECONNECTING") retry(`Attempt ${attempt} in ${Math.ceil(delay / 1000)} s`);
});
client.addEventListener("members", refresh); // it has joined, or was away for longer: messages come from now on
client.addEventListener("lost", refresh);
client.addEventListener("expelled", async () => {
    await client.join(channel);
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
await client.join(channel);
