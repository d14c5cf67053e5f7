// Who uses the page. Views ask `user()` and `needLogIn()`; tokens stay in here.

import { Problem, ask, forgetPending, signWith } from "./cluster.js";

const KEPT = "tokens";
const listeners = new Set();
let tokens = JSON.parse(sessionStorage.getItem(KEPT) || "null");
let who = null;
let renewing = null;
let askForLogIn = null;

signWith({ token, renew });

/** {id, login, role} of who is logged in, or null. */
export const user = () => who;

/** Be told whenever that changes. Returns how to stop. */
export function onUser(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** For streams, which sign by themselves. */
export function token() { return tokens?.access_token ?? null; }

/** Get a fresh token; false when the session has ended, and then nobody is logged in any more. */
export function renew() {
  renewing ??= renewNow().finally(() => { renewing = null; });
  return renewing;
}

async function renewNow() {
  if (!tokens) return false;
  try {
    keep((await ask("POST", "/api/v1/auth/refresh", { body: { refresh_token: tokens.refresh_token }, signed: false })).body);
    return true;
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    leave();
    return false;
  }
}

function keep(given) {
  tokens = given;
  sessionStorage.setItem(KEPT, JSON.stringify(given));
}

function tell(now) {
  const changed = who?.id !== now?.id || who?.role !== now?.role;
  who = now;
  if (changed) for (const listener of listeners) listener(now);
}

function leave() {
  tokens = null;
  sessionStorage.removeItem(KEPT);
  forgetPending();
  tell(null);
}

/** Go on with the session that the browser has, if any. */
export async function resume() {
  if (!tokens) return;
  try {
    tell((await ask("GET", "/api/v1/me")).body);
  } catch (error) {
    if (!(error instanceof Problem) || error.status === 401) leave();
    if (!(error instanceof Problem)) throw error;
  }
}

/** Log in; throws Problem. */
export async function logIn(login, password) {
  keep((await ask("POST", "/api/v1/auth/login", { body: { login, password }, signed: false })).body);
  tell((await ask("GET", "/api/v1/me")).body);
}

/** Make an account and log in; throws Problem. */
export async function register(login, password) {
  await ask("POST", "/api/v1/auth/register", { body: { login, password }, signed: false });
  await logIn(login, password);
}

/** End this session on every node. */
export async function logOut() {
  try {
    await ask("POST", "/api/v1/auth/logout");
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error; // 401: it has ended already
  }
  leave();
}

/** What opens the log-in dialog: `open(reason)` resolves once somebody is logged in and rejects when it is dismissed. Set once, by app.js. */
export function logInBy(open) { askForLogIn = open; }

/** Resolves with the user, who logs in first where needed; rejects with Dismissed when they would rather not. */
export async function needLogIn(reason = "") {
  if (!who) await askForLogIn(reason);
  return who;
}

/** The log-in dialog was closed without logging in. */
export class Dismissed extends Error {}
