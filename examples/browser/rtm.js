// A client of the RTM server for web pages: one ES module, nothing else to load.
//
//     import { RtmClient } from "./rtm.js";
//
//     const client = new RtmClient({ url: "wss://rtm.example.org", appId, userId,
//                                    token: async () => (await fetch("/token")).text() });
//     client.addEventListener("message", ({ detail }) => show(detail.channel, detail.sender, detail.text));
//     await client.login();
//     await client.join("ops");
//     await client.sendChannel("ops", "hello");
//
// It speaks rtm.v1.json and is written from docs/protocol alone. docs/howto/browser.md tells how to use it.

/** The states of a client, with the numbers that other clients use. */
export const State = Object.freeze({ DISCONNECTED: 1, CONNECTING: 2, CONNECTED: 3, RECONNECTING: 4, ABORTED: 5 });

/** Why it is in a state. */
export const Reason = Object.freeze({
    LOGIN: 1, LOGIN_SUCCESS: 2, LOGIN_FAILURE: 3, LOGIN_TIMEOUT: 4, INTERRUPTED: 5, LOGOUT: 6,
    BANNED_BY_SERVER: 7, REMOTE_LOGIN: 8, TOKEN_EXPIRED: 9,
});

// Times in milliseconds. The welcome may replace those of the beat.
const LOGIN_TIME = 12_000; // a login in all
const ATTEMPT_TIME = 6_000; // one attempt, from the address to the welcome
const RESTORE_TIME = 5_000; // from the welcome to the ready; then it counts as connected all the same
const GOODBYE_TIME = 1_000; // for the server to answer a bye
const TOKEN_TIME = 10_000; // for the page to get a token at a login
const TOKEN_TIME_RETURN = 3_000; // the same at a return, which has the last one
const RENEW_BEFORE = 30_000; // a new token so long before the old one ends
const RENEW_AGAIN = 10_000; // after a renewal that failed
const BACKOFF_FIRST = 250;
const BACKOFF_MAX = 8_000;
const HINT_MAX = 300_000; // of the server, when to come back
const STABLE = 1_000; // connected for so long, the next return begins at once again
const TICK = 250; // how often deadlines are looked at
const LATE = 1_500; // a tick so long after the last one was held up: messages may wait
const READ_FIRST = 50; // so long they get before silence is judged
const ORIGIN_TIME = 120_000; // for so long a message is known again

// Bounds of everything that is kept.
const HELD_MAX = 256; // entries behind a gap, for each log
const ORIGINS_MAX = 4_096; // messages that are known again, of the inbox and of each channel
const ORIGINS_LIMIT = 65_536; // the same in a flood, whatever their age
const WAITING_BYTES_MAX = 8_388_608; // of requests without an answer
const BUFFERED_MAX = 1_048_576; // bytes in the browser's own buffer before more is written

const MALFORMED = new Set([1002, 1007, 1009, 4010, 4011]); // close codes that blame what was sent
const ABORTS = { 4500: "REMOTE_LOGIN", 4501: "BANNED_BY_SERVER", 4502: "TOKEN_EXPIRED" };
const LOGIN_CODES = { 4500: 2, 4501: 2, 4502: 6 };
const KICKS = { 7: "BANNED_BY_SERVER", 8: "REMOTE_LOGIN", 9: "TOKEN_EXPIRED" };
const NOT_LOGGED_IN = 102;

// Each request: its time, its codes for a timeout and for what is not valid, its rate in the welcome's limits.
const OPERATIONS = {
    publish: { time: 10_000, timeout: 2, invalid: 4, rate: "rate_send", often: 3 },
    send: { time: 10_000, timeout: 2, invalid: 7, rate: "rate_send", often: 5 },
    join: { time: 5_000, timeout: 4, invalid: 3, rate: "rate_join", often: 7 },
    leave: { time: 5_000, timeout: 1, invalid: 1 },
    members: { time: 5_000, timeout: 3, invalid: 1, rate: "rate_members", often: 4 },
    renew: { time: 5_000, timeout: 1, invalid: 2, rate: "rate_renew", often: 4 },
};

const LIMITS = {
    message: 32_768, frame: 262_144, packets: 64, in_flight: 1_024,
    rate_send: 180, rate_send_ms: 3_000, rate_join: 50, rate_join_ms: 3_000, rate_join_same: 2,
    rate_join_same_ms: 5_000, rate_members: 5, rate_members_ms: 2_000, rate_renew: 2, rate_renew_ms: 1_000,
};

const NAME = /^[a-zA-Z0-9 !#$%&()+\-:;<=.>?@[\]^_{}|~,]{1,64}$/;
const clock = () => performance.now();

/** What went wrong: `operation`, `code` (of that operation), `retry` (milliseconds, or null), `outcomeUnknown`. */
export class RtmError extends Error {
    constructor(operation, code, message, { retry = null, outcomeUnknown = false } = {}) {
        super(`${operation}: ${message}`);
        this.name = "RtmError";
        Object.assign(this, { operation, code, retry, outcomeUnknown });
    }
}

/**
 * One user's connection to the server, over all the cuts in between.
 *
 * Options: `url` (ws:, wss:, http:, https:, or relative to the page), `appId`, `userId`, and `token`: a string, or a
 * function that gets one. It is called with "login", "return" or "renew" whenever a token is needed, and may be async.
 *
 * Events, with these fields in `detail`:
 * - state {state, reason, previous}, retry {attempt, delay}, error {error}
 * - message {channel, sender, text, bytes, time}, peermessage {sender, text, bytes, time, offline, again}
 * - joined and left {channel, user, count}, left also {dropped}; members {channel, members, count}, the whole list
 * - count {channel, count}, lost {channel, count}, expelled {channel, code, text}
 */
export class RtmClient extends EventTarget {
    #url; #token;
    #lastToken = null; // for a return, where no other can be got
    #iid = randomName(16);
    #attempt = 0;
    #state = "DISCONNECTED";
    #reason = null;

    #login = null; // {resolve, reject, ends} from login() to its end
    #connection = null;
    #session = null; // {fence, secret, epoch} of the last welcome
    #times = { beat: 1_500, interrupted: 4_000, offline: 30_000 };
    #limits = LIMITS;
    #heard = 0; // when the last message came
    #connectedSince = null;
    #failures = 0;
    #retry = null; // {at, told: whether the server said when}
    #restoreEnds = null;

    #inbox = null; // a Log from the first welcome on
    #origins = new Origins();
    #acknowledged = 0;
    #channels = new Map(); // name -> Channel, also while the join is under way

    #requests = new Map(); // id -> request, in the order of the ids
    #unwritten = []; // those of them that this connection has not had
    #nextId = 1;
    #floor = 1;
    #waitingBytes = 0;
    #rates = new Map();
    #pace = null;

    #renewAt = null;
    #timer = null;
    #ticked = 0;
    #rejoin = null; // channels to join again when a page comes back

    constructor({ url, appId, userId, token = null }) {
        super();
        this.#url = address(url);
        if (!/^[!-~]{32}$/.test(appId)) throw new TypeError("appId has 32 visible ASCII characters");
        if (!isName(userId)) throw new TypeError("userId has 1 to 64 letters, digits and some signs");
        Object.assign(this, { appId, userId });
        this.#token = token;
    }

    get state() { return this.#state; }
    get reason() { return this.#reason; }

    /** The names of the channels that it is in. */
    get channels() { return [...this.#channels.values()].filter((channel) => channel.joined).map(({ name }) => name); }

    // What a page calls ------------------------------------------------------------------------------------------

    /** Log in; resolves when connected. Rejects with an RtmError when refused, or after 12 seconds. */
    login() {
        if (this.#state !== "DISCONNECTED") {
            return Promise.reject(new RtmError("login", 8, `it is ${this.#state}; call logout() first`));
        }
        this.#forget();
        const promise = new Promise((resolve, reject) => {
            this.#login = { resolve, reject, ends: clock() + LOGIN_TIME };
        });
        this.#watch();
        this.#become("CONNECTING", "LOGIN");
        if (this.#login) this.#connect();
        return promise;
    }

    /** Log out: others see it at once. Resolves when the server has answered, after a second at the latest. */
    async logout() {
        this.#rejoin = null;
        this.#unwatch();
        if (this.#state === "DISCONNECTED") return;
        const connection = this.#goodbye();
        if (connection) await connection.closed(GOODBYE_TIME);
    }

    /** Become a member of a channel. Resolves with the names of its members, or null where there are too many. */
    async join(name) {
        this.#check("join", name);
        if (this.#channels.has(name)) throw new RtmError("join", 6, `this client is in ${name} already, or about to be`);
        this.#admit("join", `rate_join_same ${name}`, 8, "rate_join_same");
        const channel = new Channel(name);
        this.#channels.set(name, channel);
        try {
            const { id, repeated } = await this.#request("join", { ch: name });
            if (repeated) this.#sync(channel, id);
        } catch (error) {
            if (this.#channels.get(name) === channel) this.#channels.delete(name);
            const maybeMember = error.outcomeUnknown || error.code === 6;
            if (maybeMember && this.#mayCall()) this.#request("leave", { ch: name }).catch(() => {});
            throw error;
        }
        return channel.members && [...channel.members];
    }

    /** Leave a channel. */
    async leave(name) {
        this.#check("leave", name);
        try {
            await this.#request("leave", { ch: name });
        } catch (error) {
            if (error.code === 3 || error.code === 4) this.#channels.delete(name); // it was no member any more
            throw error;
        }
        this.#channels.delete(name);
    }

    /** The members of a channel that it is in, as the server tells them; a random 512 of a larger one. */
    async members(name) {
        this.#check("members", name);
        return (await this.#request("members", { ch: name })).users;
    }

    /** Send text (or a Uint8Array) to a channel. Resolves with {id, time} when the server has it. */
    async sendChannel(name, content) {
        this.#check("publish", name);
        const { id } = await this.#request("publish", { ch: name, ...this.#body("publish", content) });
        return { id, time: timeOf(id) };
    }

    /**
     * Send text (or a Uint8Array) to a user. Resolves with {status: "DELIVERED"}, or "CACHED" where `offline` is true
     * and the server keeps it for him. Rejects with code 3 where he is offline.
     */
    async sendPeer(user, content, { offline = false } = {}) {
        this.#check("send", user);
        const { code, id } = await this.#request("send", { to: user, offline, ...this.#body("send", content) });
        if (code === 3) throw new RtmError("send", 3, `${user} is offline, and the message was not kept`);
        return { status: code === 4 ? "CACHED" : "DELIVERED", id };
    }

    // States -----------------------------------------------------------------------------------------------------

    #become(state, reason) {
        if (this.#state === state) return;
        const previous = this.#state;
        [this.#state, this.#reason] = [state, reason];
        this.#tell("state", { state, reason, previous });
    }

    #tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }

    #mayCall() {
        return this.#state === "CONNECTED" || this.#state === "RECONNECTING";
    }

    #forget() {
        this.#session = null;
        this.#retry = null;
        this.#renewAt = null;
        this.#restoreEnds = null;
        this.#connectedSince = null;
        this.#failures = 0;
        this.#channels.clear();
    }

    #loginFailed(error, reason = "LOGIN_FAILURE") {
        const login = this.#login;
        this.#login = null;
        this.#drop();
        this.#forget();
        this.#unwatch();
        this.#become("DISCONNECTED", reason);
        login?.reject(error);
    }

    #abort(reason) {
        this.#drop();
        this.#forget();
        this.#unwatch();
        this.#become("ABORTED", reason);
        this.#failAll(`the session has ended: ${reason}`);
    }

    /** Say bye, if there is anybody to say it to. What follows belongs to no session. */
    #goodbye() {
        const [connection, fence, login] = [this.#connection, this.#session?.fence ?? null, this.#login];
        this.#connection = null;
        this.#login = null;
        this.#attempt += 1; // an attempt that still waits for its token is void
        const told = connection?.write(["bye", { fence }]);
        if (!told) connection?.close();
        this.#forget();
        this.#become("DISCONNECTED", "LOGOUT");
        login?.reject(new RtmError("login", 201, "logout was called meanwhile"));
        this.#failAll("logout was called meanwhile");
        return told ? connection : null;
    }

    #failAll(why) {
        for (const request of [...this.#requests.values()]) {
            this.#fail(request, NOT_LOGGED_IN, why, { outcomeUnknown: request.writes > 0 });
        }
    }

    // Connections ------------------------------------------------------------------------------------------------

    async #connect() {
        this.#retry = null;
        const attempt = (this.#attempt += 1);
        const returns = this.#session !== null;
        let token = null;
        try {
            token = await this.#askToken(returns ? "return" : "login", returns ? TOKEN_TIME_RETURN : TOKEN_TIME);
        } catch (error) {
            if (attempt !== this.#attempt) return;
            if (!returns) return this.#loginFailed(error);
            this.#tell("error", { error });
            token = this.#lastToken; // it may be good yet: the server judges
        }
        if (attempt !== this.#attempt) return;
        try {
            this.#connection = new Connection(this.#url, {
                opened: (connection) => this.#hello(connection, attempt, token),
                received: (connection, text) => this.#received(connection, text),
                closed: (connection, code, text) => this.#lost(connection, code, text),
            });
        } catch (error) { // the page may not open it at all, as ws: from a page of https:
            if (!returns) return this.#loginFailed(new RtmError("login", 1, error.message));
            this.#tell("error", { error });
            this.#comeBack(null);
        }
    }

    async #askToken(reason, time) {
        if (typeof this.#token !== "function") return this.#token;
        let timer;
        const late = new Promise((_, reject) => {
            timer = setTimeout(() => reject(new Error("none came in time")), time);
        });
        try {
            const token = await Promise.race([this.#token(reason), late]);
            if (token !== null && typeof token !== "string") throw new TypeError("it is neither a string nor null");
            this.#lastToken = token;
            return token;
        } catch (error) {
            throw new RtmError("token", 5, `the function for tokens failed: ${error.message}`);
        } finally {
            clearTimeout(timer);
        }
    }

    #hello(connection, attempt, token) {
        if (connection !== this.#connection) return;
        const hello = {
            app: this.appId, user: this.userId, iid: this.#iid, attempt, token, login: this.#session === null,
            inbox: this.#inbox && this.#inbox.position, floor: this.#lowest(), sdk: "rtm.js/1.0",
        };
        if (this.#session) {
            const { fence, secret } = this.#session;
            const joined = [...this.#channels.values()].filter((channel) => channel.joined);
            const channels = joined.map(({ name, log, version }) => ({ ch: name, id: log.position, version }));
            Object.assign(hello, { fence, secret, channels });
        }
        connection.write(["hello", hello]);
    }

    /** The connection is of no use any more; nobody is told. */
    #drop() {
        this.#attempt += 1;
        this.#connection?.close();
        this.#connection = null;
    }

    #lost(connection, code, text) {
        if (connection !== this.#connection) return;
        connection.close();
        this.#connection = null;
        this.#restoreEnds = null;
        if (this.#login) {
            if (code >= 4500) {
                const why = `the server closed with ${code} ${text}`;
                return this.#loginFailed(new RtmError("login", LOGIN_CODES[code] ?? 1, why));
            }
        } else if (ABORTS[code] && (code !== 4502 || this.#state === "CONNECTED")) {
            return this.#abort(ABORTS[code]);
        }
        if (MALFORMED.has(code)) {
            for (const request of [...this.#requests.values()].filter((each) => each.connection === connection)) {
                this.#fail(request, OPERATIONS[request.tag].invalid, `the server closed with ${code}`);
            }
        }
        this.#comeBack(connection.retry ?? retryOf(text));
    }

    #comeBack(hint) {
        if (this.#connectedSince !== null && clock() - this.#connectedSince > STABLE) this.#failures = 0;
        this.#connectedSince = null;
        const most = this.#failures ? Math.min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** (this.#failures - 1)) : 0;
        const delay = hint ? Math.min(hint, HINT_MAX) : Math.random() * most;
        this.#failures += 1;
        this.#retry = { at: clock() + delay, told: Boolean(hint) };
        this.#tell("retry", { attempt: this.#failures, delay: Math.round(delay) });
        if (delay === 0) this.#tick();
    }

    // Time -------------------------------------------------------------------------------------------------------

    // One timer looks at every deadline. Browsers slow timers down in pages that nobody looks at, in the end to one
    // a minute; so the server's beats, which come as messages, do the same.
    #tick() {
        const now = clock();
        const late = now - this.#ticked > LATE;
        this.#ticked = now;
        if (this.#login && now >= this.#login.ends) {
            const why = `no success within ${LOGIN_TIME / 1000} s`;
            return this.#loginFailed(new RtmError("login", 9, why), "LOGIN_TIMEOUT");
        }
        this.#expireRequests(now);
        if (late) setTimeout(() => this.#tick(), READ_FIRST);
        else this.#judgeSilence(now);
        const connection = this.#connection;
        if (connection?.welcomed) {
            if (this.#restoreEnds !== null && now >= this.#restoreEnds) this.#connected();
            if (now - connection.wrote >= this.#times.beat) connection.write(["beat", {}]);
            if (this.#renewAt !== null && now >= this.#renewAt && this.#state === "CONNECTED") this.#renew();
            this.#writeRequests();
        } else if (connection && now - connection.began > ATTEMPT_TIME) {
            this.#lost(connection, 1006, "");
        }
        if (this.#retry && now >= this.#retry.at) this.#connect();
        for (const channel of this.#channels.values()) this.#missMembers(channel, now);
    }

    #judgeSilence(now) {
        if (this.#login || now - this.#heard <= this.#times.interrupted) return;
        if (this.#state === "CONNECTED") this.#become("RECONNECTING", "INTERRUPTED");
        if (this.#connection?.welcomed) this.#lost(this.#connection, 1006, "");
    }

    #watch() {
        this.#ticked = clock();
        this.#timer ??= setInterval(() => this.#tick(), TICK);
        addEventListener("online", this.#hint);
        addEventListener("offline", this.#hint);
        document.addEventListener("visibilitychange", this.#hint);
        addEventListener("pagehide", this.#pageHides);
        addEventListener("pageshow", this.#pageShows);
    }

    #unwatch() {
        clearInterval(this.#timer);
        this.#timer = null;
        removeEventListener("online", this.#hint);
        removeEventListener("offline", this.#hint);
        document.removeEventListener("visibilitychange", this.#hint);
        if (this.#rejoin) return; // the page may come back
        removeEventListener("pagehide", this.#pageHides);
        removeEventListener("pageshow", this.#pageShows);
    }

    // The network may have changed, or somebody looks again: say something, and do not wait for the backoff.
    #hint = () => {
        if (this.#connection?.welcomed) this.#connection.write(["beat", {}]);
        if (this.#retry && !this.#retry.told && navigator.onLine) this.#retry.at = clock();
        this.#tick();
    };

    // The last moment in which a page can speak. It may come back from the browser's cache, by the back button.
    #pageHides = () => {
        if (!this.#mayCall() && this.#state !== "CONNECTING") return;
        this.#rejoin = this.channels;
        this.#unwatch();
        this.#goodbye()?.close();
    };

    #pageShows = async ({ persisted }) => {
        if (!persisted || this.#rejoin === null || this.#state !== "DISCONNECTED") return;
        const names = this.#rejoin;
        this.#rejoin = null;
        try {
            await this.#loginAtLast();
            await Promise.all(names.map((name) => this.join(name)));
        } catch (error) {
            this.#tell("error", { error });
        }
    };

    async #loginAtLast() {
        for (;;) {
            try {
                return await this.login();
            } catch (error) {
                if (error.code !== 9) throw error; // 9: nobody answered in time
            }
        }
    }

    // Requests ---------------------------------------------------------------------------------------------------

    #request(tag, fields) {
        if (!this.#mayCall()) return Promise.reject(this.#notLoggedIn(tag));
        const operation = OPERATIONS[tag];
        const bytes = fields.body?.length ?? 0;
        if (this.#requests.size >= this.#limits.in_flight || this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
            return Promise.reject(new RtmError(tag, 1, "too many requests wait for an answer; wait for some of them"));
        }
        return new Promise((resolve, reject) => {
            if (operation.rate) this.#admit(tag, operation.rate, operation.often);
            const i = this.#nextId++;
            const ends = clock() + operation.time;
            const request = { i, tag, fields, bytes, ends, resolve, reject, writes: 0, connection: null };
            this.#requests.set(i, request);
            this.#unwritten.push(request);
            this.#waitingBytes += bytes;
            this.#writeRequests();
        });
    }

    /** Count a call toward a rate, or throw. */
    #admit(tag, key, code, rate = key) {
        const now = clock();
        for (const [name, window] of this.#rates) if (window.idle(now)) this.#rates.delete(name);
        const window = this.#rates.get(key) ?? new Window(this.#limits[rate], this.#limits[`${rate}_ms`]);
        const retry = window.wait(now);
        if (retry > 0) throw new RtmError(tag, code, `more often than the server allows; wait ${retry} ms`, { retry });
        window.take(now);
        this.#rates.set(key, window);
    }

    // What this connection has not had, in the order of the ids. After an outage there may be more than a rate allows
    // at once: the others follow at its pace.
    #writeRequests() {
        const connection = this.#connection;
        if (!connection?.welcomed) return;
        while (this.#unwritten.length && connection.buffered <= BUFFERED_MAX) {
            const request = this.#unwritten[0];
            if (this.#requests.get(request.i) === request) {
                const now = clock();
                if (OPERATIONS[request.tag].rate === "rate_send") {
                    if (this.#pace.wait(now) > 0) return;
                    this.#pace.take(now);
                }
                const packets = [[request.tag, { i: request.i, ...request.fields }]];
                if (this.#lowest() > this.#floor) {
                    this.#floor = this.#lowest();
                    packets.unshift(["floor", { i: this.#floor }]);
                }
                if (!connection.write(...packets)) return; // it is closing: the next one has them all again
                request.writes += 1;
                request.connection = connection;
            }
            this.#unwritten.shift();
        }
    }

    /** The smallest id that may still be repeated. */
    #lowest() {
        const [first] = this.#requests.keys();
        return first ?? this.#nextId;
    }

    #answered(i) {
        const request = this.#requests.get(i);
        if (!request) return null; // its time had passed
        this.#requests.delete(i);
        this.#waitingBytes -= request.bytes;
        return request;
    }

    #fail(request, code, why, more) {
        this.#answered(request.i);
        request.reject(new RtmError(request.tag, code, why, more));
    }

    #expireRequests(now) {
        for (const request of [...this.#requests.values()]) {
            if (now < request.ends) continue;
            const why = `no answer within ${OPERATIONS[request.tag].time / 1000} s, while ${this.#state}`;
            this.#fail(request, OPERATIONS[request.tag].timeout, why, { outcomeUnknown: request.writes > 0 });
        }
    }

    #notLoggedIn(tag) {
        return new RtmError(tag, NOT_LOGGED_IN, `it is ${this.#state}; call login() first`);
    }

    #check(tag, name) {
        if (!this.#mayCall()) throw this.#notLoggedIn(tag);
        if (isName(name)) return;
        const code = tag === "send" ? 6 : OPERATIONS[tag].invalid;
        throw new RtmError(tag, code, "the name does not have 1 to 64 letters, digits and some signs");
    }

    #body(tag, content) {
        const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
        if (!(bytes instanceof Uint8Array)) throw new TypeError("a message is a string or a Uint8Array");
        if (bytes.length > this.#limits.message) {
            const why = `the message has ${bytes.length} bytes; ${this.#limits.message} are allowed`;
            throw new RtmError(tag, OPERATIONS[tag].invalid, why);
        }
        return { kind: typeof content === "string" ? 1 : 2, body: toBase64(bytes) };
    }

    async #renew() {
        this.#renewAt = null;
        const session = this.#session;
        try {
            const { expires, now } = await this.#request("renew", { token: await this.#askToken("renew", TOKEN_TIME) });
            if (session === this.#session) this.#expiry(expires, now);
        } catch (error) {
            if (session !== this.#session) return;
            this.#renewAt = clock() + RENEW_AGAIN;
            this.#tell("error", { error });
        }
    }

    #expiry(expires, now) {
        const life = expires === null || expires === undefined ? null : expires - now;
        const renews = life !== null && typeof this.#token === "function";
        this.#renewAt = renews ? clock() + Math.max(life - RENEW_BEFORE, life / 2) : null;
    }

    // What the server says ---------------------------------------------------------------------------------------

    #received(connection, text) {
        if (connection !== this.#connection) return;
        this.#heard = clock();
        try {
            for (const [tag, fields] of JSON.parse(text)) {
                if (Object.hasOwn(this.#packets, tag)) this.#packets[tag](fields, connection);
                if (connection !== this.#connection) return; // that packet was its last
            }
        } catch (error) {
            this.#tell("error", { error });
            connection.close(4010);
            return this.#lost(connection, 1006, "");
        }
        this.#acknowledge();
        this.#askForGaps();
        this.#tick();
    }

    // By tag. A packet that is not here is one of a newer server, or of what this client does not do.
    #packets = {
        welcome: (fields, connection) => this.#welcomed(fields, connection),
        ready: () => this.#connected(),
        refused: ({ code, text, retry = null }, connection) => {
            if (this.#login) return this.#loginFailed(new RtmError("login", code, text, { retry }));
            this.#tell("error", { error: new RtmError("login", code, text, { retry }) });
            connection.retry = retry;
            this.#lost(connection, 4503, "");
        },
        kicked: ({ reason, text }, connection) => {
            if (this.#login) return this.#loginFailed(new RtmError("login", 2, text));
            if (KICKS[reason] === "TOKEN_EXPIRED" && this.#state !== "CONNECTED") return this.#lost(connection, 4502, "");
            if (KICKS[reason]) this.#abort(KICKS[reason]);
        },
        done: ({ i }) => this.#answered(i)?.resolve({}),
        failed: ({ i, code, text, retry = null }) => {
            const request = this.#requests.get(i);
            if (request) this.#fail(request, code, text, { retry });
        },
        published: ({ i, id, prev }) => {
            const request = this.#answered(i);
            this.#channels.get(request?.fields.ch)?.log?.take({ id, prev, own: true });
            request?.resolve({ id });
        },
        sent: ({ i, code, id }) => this.#answered(i)?.resolve({ code, id }),
        joined: ({ i, id }) => {
            const request = this.#answered(i);
            const channel = this.#channels.get(request?.fields.ch);
            if (!channel) return;
            channel.begin(id, this.#reader(channel));
            request.resolve({ id, repeated: request.writes > 1 });
        },
        member_list: ({ i, users }) => this.#answered(i)?.resolve({ users }),
        renewed: ({ i, expires = null, now }) => this.#answered(i)?.resolve({ expires, now }),

        inbox: (fields) => this.#inbox.take(fields),
        channel: (fields) => this.#channels.get(fields.ch)?.log?.take(fields),
        top: ({ ch = null, id, lost }) => (ch === null ? this.#inbox : this.#channels.get(ch)?.log)?.top(id, lost),
        restored: ({ ch, code = 0, text = "" }) => code !== 0 && this.#expelled(ch, code, text),
        expelled: ({ ch, text = "" }) => this.#expelled(ch, 2, text),
        roster: (fields) => this.#roster(fields),
        member: (fields) => this.#member(fields),
        member_count: ({ ch, count }) => this.#tell("count", { channel: ch, count }),
    };

    #welcomed(welcome, connection) {
        const { fence, secret, epoch, beat, interrupted, offline } = welcome;
        const anew = this.#session !== null && this.#session.epoch !== epoch;
        this.#session = { fence, secret, epoch };
        this.#times = { beat, interrupted, offline };
        this.#limits = { ...LIMITS, ...welcome.limits };
        this.#pace ??= new Window(this.#limits.rate_send, this.#limits.rate_send_ms);
        this.#expiry(welcome.token_expires, welcome.now);
        this.#inbox ??= new Log(welcome.inbox, this.#inboxReader());
        this.#inbox.replays();
        this.#inbox.position = Math.max(this.#inbox.position, welcome.inbox);
        this.#acknowledged = welcome.inbox;
        for (const channel of this.#channels.values()) channel.returns(anew, clock() + offline);
        connection.welcomed = true;
        this.#restoreEnds = clock() + RESTORE_TIME;
        this.#unwritten = [...this.#requests.values()];
        this.#floor = this.#lowest(); // the hello said so
        this.#writeRequests();
    }

    #connected() {
        const login = this.#login;
        this.#login = null;
        this.#restoreEnds = null;
        this.#connectedSince ??= clock();
        this.#become("CONNECTED", "LOGIN_SUCCESS");
        login?.resolve();
    }

    // Messages ---------------------------------------------------------------------------------------------------

    #inboxReader() {
        return {
            skips: true, // what a replay of the inbox leaves out has expired
            hand: (entry) => {
                if (!this.#origins.isNew(`${entry.user} ${entry.iid} ${entry.i}`)) return;
                const content = contentOf(entry);
                const { user: sender, offline = false, again = false, id } = entry;
                if (content) this.#tell("peermessage", { sender, ...content, time: timeOf(id), offline, again });
            },
            lost: (count) => this.#tell("lost", { channel: null, count }),
        };
    }

    #reader(channel) {
        return {
            skips: false,
            hand: (entry) => {
                if (!channel.isNew(entry)) return;
                const content = contentOf(entry);
                const { user: sender, id } = entry;
                if (content) this.#tell("message", { channel: channel.name, sender, ...content, time: timeOf(id) });
            },
            lost: (count) => this.#tell("lost", { channel: channel.name, count }),
        };
    }

    #acknowledge() {
        if (!this.#inbox || !this.#connection?.welcomed) return;
        const { position, repeated } = this.#inbox;
        if (position === this.#acknowledged && !repeated) return;
        this.#inbox.repeated = false;
        if (position > 0 && this.#connection.write(["ack", { id: position }])) this.#acknowledged = position;
    }

    #askForGaps() {
        if (this.#inbox?.hasGap) this.#sync(null, this.#inbox.position);
        for (const channel of this.#channels.values()) {
            if (!channel.log?.hasGap) continue;
            const mayBeOwn = [...this.#requests.values()].some(
                ({ tag, fields }) => tag === "publish" && fields.ch === channel.name);
            if (!mayBeOwn) this.#sync(channel, channel.log.position);
        }
    }

    #sync(channel, id) {
        const log = channel ? channel.log : this.#inbox;
        if (!log || log.reading || !this.#connection?.welcomed) return;
        log.replays();
        this.#connection.write(["sync", channel ? { id, ch: channel.name } : { id }]);
    }

    // Members ----------------------------------------------------------------------------------------------------

    #roster({ ch, version, count, users = null }) {
        const channel = this.#channels.get(ch);
        if (!channel) return;
        const before = channel.members;
        channel.version = version;
        channel.members = users && new Set(users);
        const compared = channel.joined && before && users;
        const come = compared ? users.filter((user) => !before.has(user) && !channel.missed.delete(user)) : [];
        let gone = compared ? [...before].filter((user) => !channel.members.has(user)) : [];
        if (channel.missEnds !== null) { // the server began anew: they may be on their way, and have not left so far
            for (const user of gone) channel.missed.add(user);
            gone = [];
        }
        this.#tell("members", { channel: ch, members: users && [...users, ...channel.missed], count });
        for (const user of come) this.#tell("joined", { channel: ch, user, count });
        for (const user of gone) this.#tell("left", { channel: ch, user, count, dropped: true });
    }

    #member({ ch, user, joined, version, count, dropped = false }) {
        const channel = this.#channels.get(ch);
        if (!channel || version <= channel.version) return;
        channel.version = version;
        const missed = channel.missed.delete(user);
        if (joined) {
            channel.members?.add(user);
            if (!missed) this.#tell("joined", { channel: ch, user, count });
        } else {
            channel.members?.delete(user);
            this.#tell("left", { channel: ch, user, count, dropped });
        }
    }

    #missMembers(channel, now) {
        if (channel.missEnds === null || now < channel.missEnds) return;
        const [gone, count] = [[...channel.missed], channel.members?.size ?? 0];
        channel.missEnds = null;
        channel.missed.clear();
        for (const user of gone) this.#tell("left", { channel: channel.name, user, count, dropped: true });
    }

    #expelled(name, code, text) {
        if (this.#channels.delete(name)) this.#tell("expelled", { channel: name, code, text });
    }
}

/** One WebSocket. */
class Connection {
    welcomed = false;
    retry = null; // milliseconds, where the server said when to come back
    began = clock();
    wrote = clock();
    #socket;
    #closed;

    constructor(url, { opened, received, closed }) {
        this.#socket = new WebSocket(url, "rtm.v1.json");
        this.#socket.onopen = () => opened(this);
        this.#socket.onmessage = ({ data }) => received(this, data);
        this.#closed = new Promise((resolve) => {
            this.#socket.onclose = ({ code, reason }) => {
                resolve();
                closed(this, code, reason);
            };
        });
    }

    get buffered() { return this.#socket.bufferedAmount; }

    /** Write packets as one message; false where it cannot be written to. */
    write(...packets) {
        if (this.#socket.readyState !== WebSocket.OPEN) return false;
        this.#socket.send(JSON.stringify(packets));
        this.wrote = clock();
        return true;
    }

    close(code = 1000) {
        this.#socket.close(code);
    }

    /** Wait until the other side has closed it, for `time` at most, and close it then. */
    async closed(time) {
        await Promise.race([this.#closed, new Promise((resolve) => setTimeout(resolve, time))]);
        this.close();
    }
}

/** The inbox, or the log of a channel: one order, and the position up to which the page has it. */
class Log {
    reading = false; // the server is sending what is after the position, and will end with a top
    repeated = false; // something came that the page had: acknowledge again
    #anew = false;
    #held = new Map(); // entries behind a gap, by the position before them
    #reader;

    constructor(position, reader) {
        this.position = position;
        this.#reader = reader;
    }

    /** Whether something is missing that nobody is about to send. */
    get hasGap() {
        return !this.reading && [...this.#held.values()].some((entry) => !entry.own);
    }

    replays() {
        this.reading = true;
        if (this.#reader.skips) this.#held.clear(); // it all comes again
        for (const entry of this.#held.values()) entry.sentAgain = false;
    }

    /** The server has lost its memory, and with it this log: another one begins. */
    beginsAnew() {
        const entries = [...this.#held.values()].sort((one, other) => one.id - other.id);
        this.#held.clear();
        for (const entry of entries) this.#hand(entry);
        this.#anew = true;
    }

    take(entry) {
        if (entry.id <= this.position) {
            this.repeated = true;
        } else if (entry.prev === this.position || (this.reading && this.#reader.skips)) {
            this.#goOn(entry);
        } else if (this.#held.size < HELD_MAX || this.#held.has(entry.prev)) {
            this.#held.set(entry.prev, { ...entry, sentAgain: this.reading });
        }
    }

    /** The server has sent everything up to here; `lost` entries are gone. */
    top(id, lost) {
        this.reading = false;
        const entries = [...this.#held.values()].filter((entry) => entry.id <= id && !(entry.id <= this.position));
        entries.sort((one, other) => one.id - other.id);
        let missing = lost - entries.filter((entry) => !entry.sentAgain && !entry.own).length;
        const tellLost = () => {
            if (missing > 0) this.#reader.lost(missing);
            missing = 0;
        };
        for (const entry of entries) {
            if (entry.sentAgain) tellLost(); // what is gone was before all that the server still had
            this.#hand(entry);
        }
        tellLost();
        this.position = this.#anew ? id : Math.max(id, this.position);
        this.#anew = false;
        for (const entry of [...this.#held.values()]) {
            if (entry.id <= this.position) this.#held.delete(entry.prev);
        }
        const next = this.#held.get(this.position);
        if (next) this.#goOn(next);
    }

    #goOn(entry) {
        for (let next = entry; next; next = this.#held.get(this.position)) {
            this.#held.delete(next.prev);
            this.position = next.id;
            this.#hand(next);
        }
    }

    #hand(entry) {
        if (!entry.own) this.#reader.hand(entry);
    }
}

/** A channel that the client is in, or is about to be in. */
class Channel {
    joined = false;
    log = null;
    version = 0;
    members = null; // a Set of names; null where the server does not tell them
    missed = new Set(); // members before the server lost its memory, who may come back
    missEnds = null;
    #last = new Map(); // instance -> its last request id

    constructor(name) {
        this.name = name;
    }

    begin(position, reader) {
        this.joined = true;
        this.log = new Log(position, reader);
    }

    returns(anew, missEnds) {
        if (!this.joined) return;
        if (anew) {
            this.log.beginsAnew();
            this.missEnds = missEnds;
        }
        this.log.replays();
    }

    /** Whether a message is not one that came before: the request ids of an instance only grow. */
    isNew({ iid, i }) {
        if (i <= (this.#last.get(iid) ?? 0)) return false;
        this.#last.delete(iid);
        this.#last.set(iid, i); // at the end: those that are silent longest come first
        if (this.#last.size > ORIGINS_MAX) this.#last.delete(this.#last.keys().next().value);
        return true;
    }
}

/** Knows again the messages of the inbox, which may come twice under different positions. */
class Origins {
    #seen = new Map();

    isNew(origin) {
        if (this.#seen.has(origin)) return false;
        const now = clock();
        this.#seen.set(origin, now);
        while (this.#seen.size > ORIGINS_MAX) {
            const [oldest, seen] = this.#seen.entries().next().value;
            if (now - seen < ORIGIN_TIME && this.#seen.size <= ORIGINS_LIMIT) break;
            this.#seen.delete(oldest);
        }
        return true;
    }
}

/** A sliding window: `count` calls in `time` milliseconds; a count of 0 allows any. */
class Window {
    #calls = [];

    constructor(count, time) {
        Object.assign(this, { count, time });
    }

    /** Milliseconds until there is room, 0 if there is. */
    wait(now) {
        while (this.#calls.length && now - this.#calls[0] >= this.time) this.#calls.shift();
        return this.count === 0 || this.#calls.length < this.count ? 0 : Math.ceil(this.#calls[0] + this.time - now);
    }

    take(now) {
        if (this.count !== 0) this.#calls.push(now);
    }

    idle(now) {
        return this.wait(now) === 0 && this.#calls.length === 0;
    }
}

function address(url) {
    const parsed = new URL(url, location.href);
    parsed.protocol = parsed.protocol.replace(/^http/, "ws");
    if (!/^wss?:$/.test(parsed.protocol)) throw new TypeError("url begins with ws:, wss:, http: or https:");
    if (parsed.search || parsed.hash || parsed.username) throw new TypeError("url is an address and nothing more");
    if (parsed.pathname === "/") parsed.pathname = "/rtm/v1";
    return parsed.href;
}

function isName(name) {
    return typeof name === "string" && NAME.test(name) && name !== "null";
}

/** The milliseconds of the reason of a close frame, or null. */
function retryOf(text) {
    try {
        const { r } = JSON.parse(text);
        return Number.isInteger(r) && r >= 0 ? r : null;
    } catch {
        return null; // it is for people
    }
}

/** {text, bytes} of an entry; null where it is of a kind that this client does not know. */
function contentOf({ kind, body }) {
    if (kind !== 1 && kind !== 2) return null;
    const bytes = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
    return { text: kind === 1 ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes) : null, bytes };
}

function toBase64(bytes) {
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** A position is a time, in microseconds. */
function timeOf(id) {
    return new Date(Math.floor(id / 1000));
}

function randomName(length) {
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    return Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => letters[byte % 64]).join("");
}
