// What the parts of the runtime hand each other; the surface for pages is in ../sse_kit.d.ts.

import type { Hub } from "./hub.js";
import type { ConnectionConfig, ShareConfig } from "./models.js";

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
  /** How the stream is shared with other tabs: what it leaves out is the page's config. */
  share?: Partial<ShareConfig> | null;
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

/** How a stream is shared, where it is. */
export type Sharing = ShareConfig & { mode: Exclude<ShareConfig["mode"], "none"> };

/** What ports and broadcast channels have in common. */
export type Wire = Pick<MessagePort | BroadcastChannel, "postMessage" | "onmessage" | "close">;

/** What a tab says to its hub. */
export interface ToHub {
  type: "hello" | "ping" | "reconnect" | "wake" | "leave";
  /** Which tab. */
  from: string;
  cursor: string;
  /** Which stream, and what a worker needs to open it. */
  name: string;
  url: string;
  settings: Settings;
  sharing: Sharing;
}

export type Relayed = Message & {
  /** Whether the id is its own, or that of one before it. */
  own: boolean;
};

/** What a hub tells, in this order. */
export interface News {
  status?: Status;
  messages?: readonly Relayed[];
  cursor?: string;
}

/** News with a number; an answer to a ping has that of the last. */
export interface Told extends News {
  epoch: number;
  seq: number;
  /** It is a welcome, for this tab: all that it needs to go on from that number. */
  to?: string;
  /** Nothing is told: is the tab there? */
  ask?: boolean;
}

/** How a tab reaches the hub of its stream. */
export interface Route {
  wire: Wire;
  /** How many times longer than later the first answer may take. */
  patience: number;
  /** The hub does not answer, though it did when the tab joined, or never did. */
  hung(joined: boolean): void;
  close(): void;
}

/** What a way to a hub is given. */
export interface Wanted {
  /** Of the stream: tabs that share it have the same. */
  name: string;
  /** Makes this tab's hub, which begins where the tab is. */
  makeHub(wire: Wire): Hub;
  /** The way cannot be gone. */
  failed(): void;
  /** The hub is gone, another may be there. */
  lost(): void;
}

/** Throws where it cannot be gone. */
export type Way = (wanted: Wanted) => Route;
