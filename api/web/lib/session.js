// Who uses the page. The session itself is in a cookie that no script can read (api/browser.py); it is exchanged for short-lived access tokens, which
// stay in the memory of this module and sign the requests to any member. Each tab has its own, so tabs do not disturb each other; they tell each other
// when somebody logs in or out. Views ask `user()` and `needLogIn()`.

import { Problem, ask, forgetPending, origins, signWith } from "./cluster.js";

const PAGE = { "Deskraft-Page": "1" }; // what another site's form cannot send
const EARLY_MS = 30_000; // a token is renewed so long before it runs out
const BROWSER = "/api/v1/auth/browser";

const listeners = new Set();
const others = new BroadcastChannel("session");
let access = { token: null, endsAt: 0 };
let who = null;
let renewing = null;
let askForLogIn = null;
let ending = false;

signWith({ token, fresh, renew, who: () => who?.id });
others.addEventListener("message", () => { renew().catch(ignoreProblem); });

/** {id, login, role} of who is logged in, or null. */
export const user = () => who;

/** Be told whenever that changes, and whether the person wanted the end of the session. Returns how to stop. */
export function onUser(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** For streams, which sign by themselves. */
export function token() { return access.token; }

/** See to it that the token lasts for another request; when no node answers, the old one has to do. */
export async function fresh() {
  if (access.token && Date.now() > access.endsAt - EARLY_MS) await renew().catch(ignoreProblem);
}

/** Exchange the cookie for a token; false when nobody is logged in any more. */
export function renew() {
  renewing ??= exchange().finally(() => { renewing = null; });
  return renewing;
}

async function exchange() {
  try {
    const { body } = await askHome(`${BROWSER}/token`, {});
    enter(body);
    return body !== null;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // The host whose cookie this is does not answer, and others do not have it: there one can log in again.
    if (error.status === 401 || (error.code === "unreachable" && home().length < origins().length)) { enter(null); return false; }
    throw error;
  }
}

/** The members that get this page's cookie: cookies pass over ports, and stay with their host. */
const home = () => origins().filter((each) => new URL(each).hostname === location.hostname);

const askHome = (path, body) => ask("POST", path, { body, headers: PAGE, signed: false, credentials: "include", members: home });

/** The exchanged token, or nobody. */
function enter(given) {
  access = given ? { token: given.access_token, endsAt: Date.now() + given.expires_in * 1000 } : { token: null, endsAt: 0 };
  const now = given?.user ?? null;
  const changed = who?.id !== now?.id || who?.role !== now?.role;
  if (who && who.id !== now?.id) forgetPending();
  who = now;
  if (changed) for (const listener of listeners) listener(now, ending);
}

function ignoreProblem(error) {
  if (!(error instanceof Problem)) throw error;
}

/** Log in; throws Problem. Where the home of the page is away, another member takes the password; its cookie is then its own. */
export async function logIn(login, password) {
  const { body } = await ask("POST", BROWSER, { body: { login, password }, headers: PAGE, signed: false, credentials: "include" });
  enter(body);
  others.postMessage("changed");
}

/** Make an account and log in; throws Problem. */
export async function register(login, password) {
  await ask("POST", "/api/v1/auth/register", { body: { login, password }, signed: false });
  await logIn(login, password);
}

/** Do what ends this session on purpose, on every node; nobody is logged in afterwards, unless it throws. */
export async function endBy(work) {
  ending = true;
  try {
    await work();
    enter(null);
    others.postMessage("changed");
  } finally {
    ending = false;
  }
}

/** End this session. */
export const logOut = () => endBy(async () => {
  try {
    await ask("POST", "/api/v1/auth/logout");
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error; // 401: it has ended already
  }
});

/** What opens the log-in dialog: `open(reason)` resolves once somebody is logged in and rejects when it is dismissed. Set once, by app.js. */
export function logInBy(open) { askForLogIn = open; }

/** Resolves with the user, who logs in first where needed; rejects with Dismissed when they would rather not. */
export async function needLogIn(reason = "") {
  if (!who) await askForLogIn(reason);
  return who;
}

/** The log-in dialog was closed without logging in. */
export class Dismissed extends Error {}
