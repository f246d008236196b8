// The declarations say of the module what its own types say: the same names, and fitting types.
import type * as Declared from "../sse_kit.js";
import * as real from "../runtime/index.js";

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
/** What names of events a listener may have, only the declarations know. */
type Plain<T> = { [Name in keyof T as Name extends "addEventListener" ? never : Name]: T[Name] };
type Class<T extends abstract new (...given: any) => unknown> = new (
  ...given: ConstructorParameters<T>
) => Plain<InstanceType<T>>;

export const names: Same<keyof typeof Declared, keyof typeof real> = true;
export const ofChannel: Same<keyof Declared.Channel, keyof real.Channel> = true;
export const ofConnection: Same<keyof Declared.Connection, keyof real.Connection> = true;
export const ofDecoder: Same<keyof Declared.Decoder, keyof real.Decoder> = true;

type Connect = typeof Declared.connect;
export const connect: (...given: Parameters<Connect>) => Plain<Declared.Connection> = real.connect;
export const options: Same<Parameters<Connect>, Parameters<typeof real.connect>> = true;
export const Channel: Class<typeof Declared.Channel> = real.Channel;
export const Connection: Class<typeof Declared.Connection> = real.Connection;
export const Decoder: Class<typeof Declared.Decoder> = real.Decoder;
export const channels: Iterable<Plain<Declared.Channel>> = real.channels;
export const config: Same<typeof Declared.config, typeof real.config> = true;
