// What the parts of the runtime hand each other; the surface for pages is in ../sse_kit.d.ts.

import type { ConnectionConfig } from "./models.js";

/** One event of a stream, as it was read. */
export interface Message {
  type: string;
  data: string;
  /** The last event id once this event is dispatched; "" if the stream never set one. */
  lastEventId: string;
}

export type State = "connecting" | "connected" | "reconnecting" | "disconnected" | "error";

/**
 * What goes on in a state: `attempting` (a request is under way), `open`, `waiting` (for the next
 * attempt), `paused` (the page is away, it comes back by itself), `ended` (only `reconnect()`
 * starts it again).
 */
export type Phase = "attempting" | "open" | "waiting" | "paused" | "ended";

export interface Status {
  state: State;
  phase: Phase;
  /** Why: one word, see `Connection`. */
  reason: string;
  /** How many attempts failed in a row. */
  attempt: number;
  /** Milliseconds until the next attempt, while waiting. */
  delay: number;
  /** The HTTP status that led here; 0 if none did. */
  status: number;
}

export interface StateChange extends Status {
  previous: State | null;
  lastEventId: string;
}

/** What `connect` takes: each setting of the connection, and what only a page can give. */
export interface ConnectOptions extends Partial<ConnectionConfig> {
  /** Shows the state as `data-sse-state`, gets the events `sse:…`, and closes the stream with it. */
  element?: Element | null;
  /** Where to go on: the position that the page was rendered at. */
  lastEventId?: string;
  /** More request headers. */
  headers?: Record<string, string>;
  /** Names of events that an EventSource, the fallback, has to listen for. */
  events?: readonly string[];
  /** Which fragments a gap concerns: selector to URL; "" is this page's. */
  onGap?: Record<string, string>;
}

export type Settings = ConnectionConfig & ConnectOptions;

/** One request for a stream. */
export interface StreamRequest {
  url: string;
  lastEventId: string;
  settings: Settings;
  /** Calls back with each name of an event that somebody listens for, now and later. */
  eachName(callback: (type: string) => void): void;
  signal: AbortSignal;
}

/** Who is told what a reader reads. */
export interface Sink {
  opened(): void;
  /** Bytes came, of whatever kind. */
  heard(): void;
  message(message: Message): void;
  /** The id moved without an event. */
  moved(lastEventId: string): void;
  retry(milliseconds: number): void;
}

/** Why a reader stopped reading. */
export interface Outcome {
  /** The state in which this ends for good, or null: try again. */
  ends: "disconnected" | "error" | null;
  reason: string;
  status?: number;
  /** The least delay before the next attempt, in milliseconds. */
  atLeast?: number;
}

export type Reader = (request: StreamRequest, sink: Sink) => Promise<Outcome>;
