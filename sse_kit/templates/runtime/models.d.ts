// Made of the models in ../client.py, which say what each field means.

export interface ConnectionConfig {
  reader: "fetch" | "eventsource";
  baseDelay: number;
  factor: number;
  minDelay: number;
  maxDelay: number;
  stableAfter: number;
  maxRetries: number | null;
  connectTimeout: number | null;
  idleTimeout: number | null;
  closeEvent: string;
  cursor: "header" | "query";
  credentials: "omit" | "same-origin" | "include";
  maxEvent: number;
}

export interface LifecycleConfig {
  pauseHiddenAfter: number | null;
}

export interface ShareConfig {
  mode: "none" | "auto" | "worker" | "locks";
  key: string | null;
  replay: number;
  hungAfter: number;
}

export interface StatusConfig {
  connecting: string;
  connected: string;
  reconnecting: string;
  disconnected: string;
  error: string;
}

export interface StatsConfig {
  endpoint: string;
  interval: number;
  timeout: number;
  event: string;
}

export interface StreamConfig {
  url: string;
  element: string;
  cursor: string;
  events: readonly string[];
  onGap: Record<string, string>;
  connection: ConnectionConfig | null;
  share: ShareConfig | null;
}

export interface ClientConfig {
  connection: ConnectionConfig;
  lifecycle: LifecycleConfig;
  share: ShareConfig;
  status: StatusConfig;
  stats: StatsConfig;
  streams: readonly StreamConfig[];
  cursor: string;
  debug: boolean;
}

/** What a data block holds: what is not the default. */
export type Overrides = {
  [Name in keyof ClientConfig]?: Name extends "streams"
    ? StreamOverrides[]
    : ClientConfig[Name] extends object
      ? Partial<ClientConfig[Name]>
      : ClientConfig[Name];
};

export type StreamOverrides = { url: string } & {
  [Name in keyof StreamConfig]?: Name extends "connection"
    ? Partial<ConnectionConfig> | null
    : Name extends "share"
      ? Partial<ShareConfig> | null
      : StreamConfig[Name];
};
