// Made of the models in ../models.py, which say what each field means.

export interface Sample {
  at: number;
  active: number;
  published: number | null;
  delivered: number | null;
  opened: number | null;
  closed: number | null;
}

export interface Counted {
  name: string;
  count: number;
}

export interface Breakdown {
  kinds: number;
  shown: readonly Counted[];
}

export interface TransportHealth {
  name: string;
  shared: boolean;
  durable: boolean;
  replays: boolean;
  status: "ok" | "degraded" | "down";
  detail: string;
  answer: number | null;
}

export interface HubHealth {
  position: string;
  ring_records: number;
  ring_bytes: number;
  catching_up: number;
  records: number;
  malformed: number;
  gaps: number;
}

export interface Row {
  key: string;
  id: string;
  type: string;
  state: "connecting" | "connected" | "disconnected" | "error" | "reconnecting";
  age: number;
  idle: number;
  lag: number;
  messages: number;
  rate: number | null;
  dropped: number;
  topics: readonly string[];
  topic_count: number;
  metadata: Record<string, string>;
}

export interface Snapshot {
  at: number;
  viewers: number;
  total: number;
  dropped: number;
  sample: Sample;
  types: Breakdown;
  states: Breakdown;
  topics: Breakdown;
  ends: Breakdown;
  transport: TransportHealth;
  hub: HubHealth | null;
  matching: number;
  rows: readonly Row[];
}

export interface History {
  samples: readonly Sample[];
}
