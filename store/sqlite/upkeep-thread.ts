/**
 * A thread for one long reading: an export or a check, in one read transaction from its first piece to its end. Its
 * connection is its own, so nobody else waits; the write-ahead log grows meanwhile, since no checkpoint passes a reader.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { RecordKind } from '../records.ts';
import { Connection, clockOf, Reconnecting, type ThreadOptions } from './connect.ts';
import { toFault } from './fault.ts';
import type { Call, FromThread, ToThread } from './protocol.ts';
import { flaws } from './upkeep-check.ts';
import { exportRecords } from './upkeep-export.ts';
import { optimize } from './upkeep-optimize.ts';

/** An answer is sent when it has so many items, or about so many octets, or took so long. */
const maxItems = 500;
const maxOctets = 1024 * 1024;
const maxMs = 200;

const port = parentPort as MessagePort;
const options = workerData as ThreadOptions;
const clock = clockOf(options);
const connection = new Reconnecting(options, () => new Connection(options));
let items: Iterator<object | undefined> | undefined;

function next(method: string, args: readonly unknown[]): unknown {
  const opened = connection.get();
  if (method === 'optimize') return optimize(opened, args[0] as boolean);
  if (!items) {
    opened.sql('BEGIN').run();
    const snapshot = { now: clock(), sql: opened.sql };
    items =
      method === 'export' ? exportRecords(snapshot, args[0] as readonly RecordKind[] | undefined) : flaws(snapshot);
  }
  const answer: unknown[] = [];
  const until = performance.now() + maxMs;
  let octets = 0;
  while (answer.length < maxItems && octets < maxOctets && performance.now() < until) {
    const { done, value } = items.next();
    if (done) return { items: answer, done: true };
    if (value === undefined) continue;
    answer.push(value);
    octets += weight(value);
  }
  return { items: answer, done: false };
}

/** About how many octets a record has. */
function weight(record: object): number {
  let octets = 200;
  for (const value of Object.values(record))
    if (ArrayBuffer.isView(value)) octets += value.byteLength;
    else if (Array.isArray(value)) octets += value.length * 200;
    else if (typeof value === 'string') octets += value.length;
  return octets;
}

function answer({ id, method, args }: Call): FromThread {
  try {
    return { replies: [{ id, value: next(method, args) }] };
  } catch (error) {
    return { replies: [{ id, fault: toFault(error) }] };
  }
}

port.on('message', (message: ToThread) => {
  if ('id' in message) port.postMessage(answer(message));
  else if ('close' in message) {
    connection.drop();
    port.close();
  }
});
