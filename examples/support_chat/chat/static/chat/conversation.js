// The page of a customer, and that of an agent who talks to him.

import { connection, page, post, show } from "./connection.js";

const list = document.getElementById("messages");
const here = new Set(); // the user ids of the pages in this channel

function add({ id, author, text }) {
    if (document.getElementById(`message-${id}`)) return;
    const item = document.createElement("li");
    item.id = `message-${id}`;
    item.value = id;
    item.textContent = `${author}: ${text}`;
    list.insertBefore(item, [...list.children].find((other) => other.value > id) ?? null);
}

async function refresh() {
    const response = await fetch(page.messages);
    (await response.json()).messages.forEach(add);
}

function presence() {
    const other = page.reply ? "customer" : "agent";
    const present = [...here].some((user) => user.startsWith(`${other}-`));
    show("presence", present ? `The ${other} is here.` : `The ${other} is not here.`);
}

async function say(form) {
    if (page.reply) {
        await post(page.reply, new URLSearchParams(new FormData(form)));
    } else { // what a customer says goes to the listener, which stores and publishes it
        await rtm.sendPeer(page.listener, form.elements.text.value, { offline: true });
    }
}

const rtm = await connection();
rtm.addEventListener("message", ({ detail }) => add(JSON.parse(detail.text)));
rtm.addEventListener("joined", ({ detail }) => { here.add(detail.user); presence(); });
rtm.addEventListener("left", ({ detail }) => { here.delete(detail.user); presence(); });
rtm.addEventListener("members", ({ detail }) => {
    here.clear();
    detail.members.forEach((user) => here.add(user));
    presence();
});
rtm.addEventListener("state", ({ detail }) => {
    if (detail.previous === "RECONNECTING" && detail.state === "CONNECTED") refresh(); // what was said meanwhile
});
document.getElementById("say").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
        await say(event.target);
        event.target.reset();
        show("notice", "");
    } catch (error) {
        show("notice", error.message);
    }
});
await rtm.login();
for (const user of await rtm.join(page.channel)) here.add(user);
presence();
refresh();
