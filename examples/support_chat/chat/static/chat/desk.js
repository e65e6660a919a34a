// The page with all conversations.

import { connection, enter, page } from "./connection.js";

const list = document.getElementById("conversations");

const rtm = await connection();
rtm.addEventListener("message", ({ detail }) => {
    const { customer, author, text } = JSON.parse(detail.text);
    let item = document.getElementById(customer);
    if (!item) {
        item = document.createElement("li");
        item.id = customer;
        const link = document.createElement("a");
        link.href = page.agent.replace("CUSTOMER", customer);
        link.textContent = customer;
        const said = document.createElement("span");
        said.className = "said";
        item.append(link, " ", said);
    }
    item.querySelector(".said").textContent = `${author}: ${text}`;
    if (list.firstElementChild !== item) list.prepend(item);
});
// What came while this page was away for long is in the list of the site only.
rtm.addEventListener("lost", () => location.reload());
rtm.addEventListener("state", ({ detail }) => {
    if (detail.state === "CONNECTED" && detail.previous === "RECONNECTING") location.reload();
});
await enter(rtm);
