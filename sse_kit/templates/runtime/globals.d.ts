import type { ClientConfig } from "./models.js";

declare global {
  /** The defaults, as one JSON literal: Python puts it in place of this name. */
  const SSE_KIT_CONFIG: ClientConfig;
}
