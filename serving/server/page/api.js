// The server's interface: JSON in and out, the key where one is asked for, and errors in words.

import { askKey, key } from "./key.js";

/** What a request came to when it came to nothing. status: HTTP's, 0 where there was no answer. */
export class Failed extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Tells whether the server answers: "gone" and "back". */
export const server = new EventTarget();
let there = true;

function reached(now) {
  if (now !== there) server.dispatchEvent(new Event(now ? "back" : "gone"));
  there = now;
}

async function send(method, path, body, signal) {
  const headers = key() ? { "X-API-Key": key() } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    const sent = { method, headers, signal, body: body && JSON.stringify(body), cache: "no-store" };
    const answer = await fetch(path, sent);
    const text = await answer.text();
    reached(true);
    return [answer, text];
  } catch (error) {
    if (signal?.aborted) throw error;
    reached(false);
    throw new Failed("The server does not answer.", 0);
  }
}

/** The answer and its text, whatever its status; asks for the key until it fits or nobody has it. */
export async function exchange(method, path, body, signal) {
  for (;;) {
    const sent = key();
    const [answer, text] = await send(method, path, body, signal);
    if (answer.status !== 401 || !(await askKey(sent))) return [answer, text];
  }
}

/** The answer's JSON. Throws: Failed, with what the server says of it. */
export async function ask(method, path, body, signal) {
  const [answer, text] = await exchange(method, path, body, signal);
  const said = parsed(text);
  if (answer.ok) return said;
  throw new Failed(said?.error ?? `${answer.status} ${answer.statusText}`, answer.status);
}

/** A path with a query. */
export const query = (path, given) => `${path}?${new URLSearchParams(given)}`;

/** Signals of which each ends the one before: only the latest request has an answer. */
export function latest() {
  let current;
  return () => {
    current?.abort();
    current = new AbortController();
    return current.signal;
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
