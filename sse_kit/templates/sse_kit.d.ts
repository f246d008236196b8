/**
 * The public surface of the module that `sse_kit` serves to pages.
 *
 * The module starts itself: it reads the page's data blocks and opens the streams they name. A
 * script of the page finds it as `window.sseKit`, once `sse:ready` was fired at the document; a
 * bundler maps the module's URL to this file.
 */

import type { ClientConfig } from "./runtime/models.js";
import type {
  ConnectOptions,
  Message,
  Phase,
  Settings,
  State,
  StateChange,
  Status,
} from "./runtime/types.js";

export type { ClientConfig, ConnectOptions, Message, Phase, Settings, State, StateChange, Status };
export type {
  ConnectionConfig,
  LifecycleConfig,
  ShareConfig,
  StatusConfig,
  StreamConfig,
} from "./runtime/models.js";

/** Open a stream for this page: it leaves and comes back with the page, and heals its gaps. */
export function connect(url: string | URL, options?: ConnectOptions): Connection;

/** Every channel of this page that was opened and not closed by it. */
export const channels: Set<Channel>;

/** What the page runs on: the defaults, with what its data blocks set. */
export const config: ClientConfig;

/** A gap in the stream: something was missed, or may have been. */
export interface Gap {
  reason: "trimmed" | "epoch" | "ahead" | "invalid" | "dropped";
  /** At most so many messages, of all topics; null if nobody knows. */
  missed: number | null;
  lastEventId: string;
}

/** The fragments that a gap concerned were fetched anew, or could not be. */
export interface Healed {
  healed: boolean;
}

/** What was taken out of a message before it was shown: names of elements and attributes. */
export interface Cleaned {
  taken: string[];
}

/** The events that every channel has, beside those of its stream, which are MessageEvents. */
export interface ChannelEventMap {
  open: Event;
  error: Event;
  message: MessageEvent<string>;
  gap: MessageEvent<string>;
  bye: MessageEvent<string>;
  "sse:state": CustomEvent<StateChange>;
  "sse:event": CustomEvent<Message>;
  "sse:gap": CustomEvent<Gap>;
  "sse:healed": CustomEvent<Healed>;
}

/** What has bubbled to the element of a channel, or its document, names the channel. */
export type Sourced<Detail> = Detail & { source: Channel };

/** The face of a stream, shaped as an EventSource; who has a stream from elsewhere extends it. */
export class Channel extends EventTarget {
  constructor(url: string, options?: { element?: Element | null; lastEventId?: string });

  /** The absolute address. */
  url: string;
  /** Shows the state as `data-sse-state`. */
  element: Element | null;
  /** The cursor: the id to go on from. */
  lastEventId: string;

  readonly state: State;
  readonly detail: Readonly<Status>;
  /** As an EventSource's: 0 connecting, 1 open, 2 closed for good. */
  readonly readyState: 0 | 1 | 2;

  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: Event) => void) | null;

  addEventListener<Name extends keyof ChannelEventMap>(
    type: Name,
    listener: (this: this, event: ChannelEventMap[Name]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** The names of the stream's own events. */
  addEventListener(
    type: string,
    listener: (this: this, event: MessageEvent<string>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;

  /** Keep what comes until `release`. */
  hold(): void;
  /** Deliver what was kept, without what is at or before a position: it is known from elsewhere. */
  release(seen?: string): void;

  /** For those who extend: enter a state; what is left out is 0. */
  move(state: State, given: Pick<Status, "phase" | "reason"> & Partial<Status>): void;
  /** For those who extend: dispatch an event of the stream. */
  deliver(message: Message): void;
  /** For those who extend: move the cursor without an event. */
  moveTo(lastEventId: string): void;
  /** For those who extend: dispatch a CustomEvent here, and at the element or the document. */
  tell(type: string, detail: object): void;
}

/** One stream that always comes back: the only place that reconnects. */
export class Connection extends Channel {
  constructor(url: string, settings: Settings);

  /** Begin; `connect` has done that. */
  open(): void;
  /** End it for good. */
  close(reason?: string): void;
  /** Connect now, out of any state, from the cursor. */
  reconnect(): void;
  /** Let go of the stream, until `resume` was called for each reason. */
  pause(why: string): void;
  resume(why: string): void;
  /** The network is back: wait no longer, unless the server asked for it. */
  wake(): void;
}

/** Bytes of an event stream in, messages out (HTML standard, 9.2.6). */
export class Decoder {
  constructor(lastEventId?: string, limit?: number);
  lastEventId: string;
  retry: number | null;
  /** Throws a RangeError if an event is longer than the limit. */
  feed(bytes: Uint8Array): Message[];
}

declare global {
  interface Window {
    sseKit: Readonly<{
      channels: typeof channels;
      config: typeof config;
      connect: typeof connect;
    }>;
  }

  interface SSEKitEventMap {
    "sse:state": CustomEvent<Sourced<StateChange>>;
    "sse:gap": CustomEvent<Sourced<Gap>>;
    "sse:healed": CustomEvent<Sourced<Healed>>;
    "sse:cleaned": CustomEvent<Cleaned>;
  }

  interface ElementEventMap extends SSEKitEventMap {}
  interface DocumentEventMap extends SSEKitEventMap {
    "sse:ready": Event;
    /** What `stats_endpoint`, or an event of a stream, told: as the registry's `get_stats()`. */
    "sse:stats": CustomEvent<Record<string, unknown>>;
  }
}
