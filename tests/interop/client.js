// A client of rtm.v1 in JavaScript, written from docs/protocol alone on the npm package `ws`.
//
// Usage: node client.js URL APP_ID
//
// It plays two users against a server and exits with 0 when all went as specified. The module `ws` is found by
// the environment variable RTM_WS_MODULE, or by node itself.

"use strict";

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const WebSocket = require(process.env.RTM_WS_MODULE || "ws");

const WAIT = 30000;
const [url, app] = process.argv.slice(2);

class Client {
  constructor(user) {
    this.user = user;
    this.iid = crypto.randomBytes(12).toString("base64url");
    this.attempt = 0;
    this.next = 1;
    this.unanswered = new Map();
    this.answers = new Map();
    this.positions = new Map([[null, 0]]);
    this.versions = new Map();
    this.messages = [];
    this.packets = [];
    this.waiting = [];
    this.code = null;
  }

  open() {
    this.packets = [];
    this.code = null;
    this.ws = new WebSocket(`${url}/rtm/v1`, "rtm.v1.json");
    const ws = this.ws;
    ws.on("message", (data, binary) => {
      assert.equal(binary, false);
      if (ws !== this.ws) return;
      for (const [tag, fields] of JSON.parse(data)) this.receive(tag, fields);
      this.look();
    });
    ws.on("close", (code) => {
      if (ws !== this.ws) return;
      clearInterval(this.beats);
      this.code = code;
      this.look();
    });
    ws.on("error", () => {});
    return new Promise((resolve, reject) => {
      ws.once("open", resolve);
      ws.once("error", reject);
    });
  }

  async hello(more) {
    await this.open();
    this.attempt += 1;
    this.send("hello", {
      app, user: this.user, token: null, iid: this.iid, attempt: this.attempt, login: true, ...more,
    });
    await this.until(() => this.saw("ready") || this.code !== null);
    if (this.code === null) this.beats = setInterval(() => this.send("beat", {}), this.welcome.beat);
  }

  async comeBack() {
    const channels = [...this.positions].filter(([ch]) => ch !== null)
      .map(([ch, id]) => ({ ch, id, version: this.versions.get(ch) }));
    await this.hello({
      login: false, fence: this.welcome.fence, secret: this.welcome.secret, inbox: this.positions.get(null),
      channels, floor: Math.min(...this.unanswered.keys(), this.next),
    });
    for (const [tag, fields] of this.unanswered.values()) this.send(tag, fields);
  }

  cut() {
    clearInterval(this.beats);
    const ws = this.ws;
    this.ws = null;
    ws.terminate();
  }

  send(tag, fields) {
    if (this.ws && this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify([[tag, fields]]));
  }

  request(tag, fields) {
    const i = this.next++;
    this.unanswered.set(i, [tag, { i, ...fields }]);
    this.send(tag, { i, ...fields });
    return i;
  }

  async ask(tag, fields) {
    const i = this.request(tag, fields);
    await this.until(() => this.answers.has(i));
    return this.answers.get(i);
  }

  saw(tag) {
    return this.packets.some(([one]) => one === tag);
  }

  receive(tag, fields) {
    this.packets.push([tag, fields]);
    if (tag === "welcome") {
      this.welcome = fields;
      this.positions.set(null, Math.max(this.positions.get(null), fields.inbox));
    } else if (tag === "channel" || tag === "inbox") {
      this.take(fields.ch ?? null, fields);
    } else if (tag === "top") {
      this.positions.set(fields.ch ?? null, fields.id);
    } else if (tag === "roster" || tag === "member") {
      this.versions.set(fields.ch, fields.version);
    } else if (typeof fields.i === "number") {
      const [asked, what] = this.unanswered.get(fields.i) ?? [];
      this.unanswered.delete(fields.i);
      this.answers.set(fields.i, [tag, fields]);
      if (tag === "joined") this.positions.set(what.ch, fields.id);
      if (tag === "published" && fields.prev === this.positions.get(what.ch)) this.positions.set(what.ch, fields.id);
      assert.ok(asked, `an answer that nobody waits for: ${tag} ${fields.i}`);
    }
  }

  take(log, entry) {
    if (entry.id <= this.positions.get(log)) return;
    assert.equal(entry.prev, this.positions.get(log), "a gap, where none can be");
    this.positions.set(log, entry.id);
    this.messages.push({ ...entry, text: Buffer.from(entry.body, "base64").toString() });
    if (log === null) this.send("ack", { id: entry.id });
  }

  look() {
    for (const check of [...this.waiting]) check();
  }

  until(condition) {
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        clearTimeout(timer);
        this.waiting.splice(this.waiting.indexOf(check), 1);
        settle(value);
      };
      const check = () => { if (condition()) done(resolve); };
      const timer = setTimeout(
        () => done(reject, new Error(`${this.user} waited in vain: ${condition}; ${JSON.stringify(this.packets)}`)),
        WAIT,
      );
      this.waiting.push(check);
      check();
    });
  }
}

const bytes = (text) => Buffer.from(text).toString("base64");

async function main() {
  const alice = new Client("js-alice");
  const bob = new Client("js-bob");
  await alice.hello();
  await bob.hello();
  assert.equal(alice.welcome.resumed, false);
  console.log("logged in");

  assert.equal((await alice.ask("join", { ch: "js" }))[0], "joined");
  assert.equal((await bob.ask("join", { ch: "js" }))[0], "joined");
  await alice.until(() => alice.saw("member"));
  const [tag, published] = await alice.ask("publish", { ch: "js", kind: 1, body: bytes("hello") });
  assert.equal(tag, "published");
  await bob.until(() => bob.messages.length === 1);
  assert.equal(bob.messages[0].text, "hello");
  assert.equal(bob.messages[0].user, "js-alice");
  assert.equal(bob.messages[0].id, published.id);
  console.log("published and received");

  assert.deepEqual((await alice.ask("send", { to: "js-bob", kind: 1, body: bytes("psst") }))[1].code, 0);
  assert.equal(bob.messages[1].text, "psst");
  assert.equal((await alice.ask("send", { to: "js-nobody", kind: 1, body: bytes("x") }))[1].code, 3);
  console.log("sent to a peer");

  bob.cut();
  await alice.ask("publish", { ch: "js", kind: 1, body: bytes("missed 1") });
  await alice.ask("publish", { ch: "js", kind: 1, body: bytes("missed 2") });
  const waiting = alice.request("send", { to: "js-bob", kind: 1, body: bytes("missed 3") });
  await bob.comeBack();
  assert.equal(bob.welcome.resumed, true);
  await bob.until(() => bob.messages.length === 5);
  assert.deepEqual(bob.messages.slice(2).map((one) => one.text).sort(), ["missed 1", "missed 2", "missed 3"]);
  await alice.until(() => alice.answers.has(waiting));
  assert.equal(alice.answers.get(waiting)[1].code, 0);
  console.log("returned after a cut");

  assert.equal((await alice.ask("join", { ch: "js" }))[1].code, 6);
  assert.equal((await alice.ask("publish", { ch: "elsewhere", kind: 1, body: "" }))[1].code, 5);
  const stranger = new Client("js-stranger");
  await stranger.open();
  stranger.ws.send("[[");
  await stranger.until(() => stranger.code !== null);
  assert.equal(stranger.code, 4010);
  console.log("refused what is wrong");

  const second = new Client("js-bob");
  await second.hello();
  await bob.until(() => bob.code !== null);
  assert.equal(bob.code, 4500);
  console.log("kicked by a second login");

  for (const client of [alice, second]) {
    client.send("bye", { fence: client.welcome.fence });
    await client.until(() => client.code !== null);
    assert.equal(client.code, 4504);
  }
  console.log("logged out");
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
