/**
 * Is a server running on this store that does its jobs? Workers write the time under one name every ten seconds; whoever
 * wants to know reads it. Works for any store and any number of workers: one that ends takes its mark away, another's comes
 * back by itself.
 */
import { randomUUID } from 'node:crypto';

export interface Marks {
  get(name: string): Promise<Uint8Array | undefined>;
  put(name: string, value: Uint8Array): Promise<void>;
}

const mark = 'server.heartbeat';
const beatMs = 10_000;
/** Two beats may be missed: a disk that is slow for a moment is no server that is gone. */
const staleMs = 3 * beatMs;

interface Beat {
  readonly id: string;
  readonly at: number;
}

/** Begins now; the answer ends it. A beat that cannot be written is left out: whatever ails the store shows elsewhere. */
export async function startHeartbeat(marks: Marks): Promise<() => Promise<void>> {
  const id = randomUUID();
  const beat = (at: number) => marks.put(mark, Buffer.from(JSON.stringify({ id, at } satisfies Beat))).catch(() => {});
  let last = beat(Date.now());
  await last;
  const timer = setInterval(() => {
    last = beat(Date.now());
  }, beatMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await last;
    if ((await read(marks).catch(() => undefined))?.id === id) await beat(0);
  };
}

export async function isServerRunning(marks: Marks): Promise<boolean> {
  const beat = await read(marks);
  return beat !== undefined && Math.abs(Date.now() - beat.at) < staleMs;
}

async function read(marks: Marks): Promise<Beat | undefined> {
  const value = await marks.get(mark);
  if (!value) return undefined;
  try {
    const beat: unknown = JSON.parse(Buffer.from(value).toString());
    if (typeof beat === 'object' && beat !== null && 'at' in beat && 'id' in beat) return beat as Beat;
  } catch {} // written by a program of another version
  return undefined;
}
