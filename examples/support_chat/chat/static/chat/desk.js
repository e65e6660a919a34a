// The page with all conversations.

import { connection, page } from "./connection.js";

const list = document.getElementById("conversations");

const rtm = await connection();
rtm.addEventListener("message", ({ detail }) => {
    const { customer } = JSON.parse(detail.text);
    let item = document.getElementById(customer);
    if (!item) {
        item = document.createElement("li");
        item.id = customer;
        const link = document.createElement("a");
        link.href = page.agent.replace("CUSTOMER", customer);
        link.textContent = customer;
        item.append(link);
    }
    list.prepend(item);
});
await rtm.login();
await rtm.join(page.channel);
