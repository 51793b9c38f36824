/**
 * A reader thread: answers one call after the other, each from a snapshot of its own. One of them also looks for commits of
 * other processes, while somebody watches.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { ModSeq } from '../model.ts';
import { changesEnd } from './changes.ts';
import { Connection, clockOf, Reconnecting, type ThreadOptions } from './connect.ts';
import { toFault } from './fault.ts';
import { type Call, type FromThread, type ToThread, transferables } from './protocol.ts';
import { readerMethods } from './reader-methods.ts';
import type { Tx } from './tx.ts';
import type { ColumnSnapshot } from './views.ts';

/** Half of what the port promises for news of other processes. */
const pollMs = 80;

const port = parentPort as MessagePort;
const options = workerData as ThreadOptions;
const clock = clockOf(options);
const connection = new Reconnecting(options, () => new Connection(options));
type Reading = Tx & ColumnSnapshot;
const methods = readerMethods as unknown as Readonly<
  Record<string, (tx: Reading, ...args: readonly unknown[]) => unknown>
>;

/** Methods that only read may be written for a Tx; here nothing can be written. */
function snapshotOf(opened: Connection): Reading {
  const refuse = (): never => {
    throw new Error('A reader does not write');
  };
  return {
    now: clock(),
    sql: opened.sql,
    arrays: opened.arrays,
    nextUid: refuse,
    nextMessageId: refuse,
    modSeq: refuse,
    takenModSeq: 0,
    log: refuse,
    raise: refuse,
  };
}

function answer(call: Call): void {
  let reply: FromThread;
  let transfer: ArrayBuffer[] = [];
  let opened: Connection | undefined;
  try {
    const method = methods[call.method];
    if (!method) throw new Error(`No reader method ${call.method}`);
    opened = connection.get();
    opened.sql('BEGIN').run();
    const value = method(snapshotOf(opened), ...call.args);
    opened.sql('COMMIT').run();
    transfer = transferables(value);
    reply = { replies: [{ id: call.id, value }] };
  } catch (error) {
    if (opened?.db.isOpen && opened.db.isTransaction) opened.db.exec('ROLLBACK');
    connection.failed(error);
    reply = { replies: [{ id: call.id, fault: toFault(error) }] };
  }
  port.postMessage(reply, transfer);
}

let timer: NodeJS.Timeout | undefined;
let seenVersion = -1;
let seenEnd = 0;

/** PRAGMA data_version changes with every commit of another connection, and costs no read of the file. */
function look(): void {
  try {
    const opened = connection.get();
    const version: number = opened.sql('PRAGMA data_version').get().data_version;
    if (version === seenVersion) return;
    seenVersion = version;
    const end: ModSeq = changesEnd(snapshotOf(opened));
    if (end === seenEnd) return;
    seenEnd = end;
    port.postMessage({ end } satisfies FromThread);
  } catch (error) {
    connection.failed(error); // whoever reads hears of it; a bell may be silent
    seenVersion = -1;
  }
}

function poll(on: boolean): void {
  clearInterval(timer);
  timer = on ? setInterval(look, pollMs) : undefined;
  if (on) look();
}

port.on('message', (message: ToThread) => {
  if ('id' in message) answer(message);
  else if ('poll' in message) poll(message.poll);
  else {
    poll(false);
    connection.drop();
    port.close();
  }
});
