// The page of a customer, and that of an agent who talks to him.

import { connection, enter, page, post, show } from "./connection.js";

const list = document.getElementById("messages");
const here = new Set(); // the user ids of the pages in this channel

function add({ id, author, text }) {
    if (document.getElementById(`message-${id}`)) return;
    const own = (author === "customer") === !page.reply;
    const item = document.createElement("li");
    item.id = `message-${id}`;
    item.value = id;
    if (own) item.className = "own";
    const name = document.createElement("span");
    name.className = "author";
    name.textContent = own && !page.reply ? "You" : author;
    item.append(name, text);
    list.insertBefore(item, [...list.children].find((other) => other.value > id) ?? null);
    item.scrollIntoView({ block: "nearest" });
}

async function refresh() {
    try {
        const response = await fetch(page.messages);
        if (!response.ok) throw new Error(`the site answered ${response.status}`);
        (await response.json()).messages.forEach(add);
    } catch (error) {
        show("notice", `Messages may be missing here: ${error.message}.`);
    }
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
// The page has joined, or comes back after more than the server has kept: the site has all messages.
rtm.addEventListener("members", ({ detail }) => {
    here.clear();
    for (const user of detail.members ?? []) here.add(user);
    presence();
    refresh();
});
rtm.addEventListener("lost", refresh);
document.getElementById("say").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    try {
        await say(form);
        form.reset();
        show("notice", "");
    } catch (error) {
        show("notice", `Not sent: ${error.message}.`);
    }
});
await enter(rtm);
