/**
 * The writer thread. Commands that wait together share one transaction and so one fsync (group commit): the batch goes on
 * taking commands from the port while it runs, up to a limit, is committed, and only then is anybody answered. What a
 * batch cannot commit it rolls back whole, and all its commands fail.
 */
import { channel } from 'node:diagnostics_channel';
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Batch } from './batch.ts';
import { type Connection, clockOf, Reconnecting, type ThreadOptions } from './connect.ts';
import { breaksConnection, toFault } from './fault.ts';
import { openMigrated } from './migrate.ts';
import { type Call, type FromThread, type Opened, type Reply, type ToThread, transferables } from './protocol.ts';
import type { Tx } from './tx.ts';
import { importMark } from './upkeep-export.ts';
import { writerMethods } from './writer-methods.ts';

/** More would keep the first caller waiting for the last one's sake, and other processes for all of them. */
const maxCommands = 256;
const maxBytes = 8 * 1024 * 1024;
const maxMs = 20;

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const steps = { committing: channel('lazaret:store.committing'), committed: channel('lazaret:store.committed') };

const port = parentPort as MessagePort;
const options = workerData as ThreadOptions;
const clock = clockOf(options);
const methods = writerMethods as unknown as Readonly<Record<string, (tx: Tx, ...args: readonly unknown[]) => unknown>>;
const pageLimit = options.pageLimit && new Int32Array(options.pageLimit);

let end = 0;
const connection = new Reconnecting(options, () => {
  const opened = openMigrated(options);
  opened.db.exec('PRAGMA busy_timeout = 0'); // the batch waits by itself
  return opened;
});

function next(): ToThread | undefined {
  return receiveMessageOnPort(port)?.message;
}

function answer(message: FromThread): void {
  const transfer = (message.replies ?? []).flatMap((reply) => ('value' in reply ? transferables(reply.value) : []));
  port.postMessage(message, transfer);
}

/** Runs the command and those that come meanwhile; answers a message that is none and ended the batch. */
function runBatch(first: Call): ToThread | undefined {
  const calls: Call[] = [first];
  const replies: Reply[] = [];
  let batch: Batch | undefined;
  let other: ToThread | undefined;
  let bytes = 0;
  const began = performance.now();
  try {
    const opened = connection.get();
    if (pageLimit) limitPages(opened, pageLimit[0]!);
    batch = new Batch(opened, clock(), options.busyTimeoutMs);
    const until = performance.now() + maxMs;
    for (let call: Call | undefined = first; call; ) {
      replies.push(run(batch, call));
      bytes += call.bytes;
      call = undefined;
      if (calls.length === maxCommands || bytes >= maxBytes || performance.now() > until) break;
      const message = next();
      if (message && 'id' in message) {
        call = message;
        calls.push(call);
      } else other = message;
    }
    steps.committing.publish(calls);
    batch.commit();
    steps.committed.publish(calls);
    const grown = batch.end > end;
    end = batch.end;
    const told = { commands: calls.length, ms: performance.now() - began };
    answer({ replies, batch: told, ...(grown ? { end: batch.end } : {}) });
  } catch (error) {
    try {
      batch?.rollBack();
    } catch {
      connection.drop(); // closing rolls back as well
    }
    connection.failed(error);
    const fault = toFault(error);
    answer({ replies: calls.map(({ id }) => ({ id, fault })) });
  }
  return other;
}

/** A command's reply once the batch is committed. Throws only what ends the batch. */
function run(batch: Batch, call: Call): Reply {
  try {
    const method = methods[call.method];
    if (!method) throw new Error(`No writer method ${call.method}`);
    return { id: call.id, value: batch.run((tx) => method(tx, ...call.args)) };
  } catch (error) {
    if (!batch.isOpen || breaksConnection(error)) throw error;
    return { id: call.id, fault: toFault(error) };
  }
}

function limitPages(opened: Connection, pages: number): void {
  opened.db.exec(`PRAGMA max_page_count = ${pages === 0 ? 0xfffffffe : pages}`);
}

function open(id: number): void {
  try {
    const opened = connection.get();
    const counters = opened.sql('SELECT uid_validity, last_mod_seq FROM counters').get();
    end = counters.last_mod_seq;
    const unfinished = opened.sql('SELECT 1 FROM settings WHERE name = ?').get(importMark) !== undefined;
    const value: Opened = {
      uidValidity: counters.uid_validity,
      end: counters.last_mod_seq,
      unfinished,
      place: connection.place!,
    };
    answer({ replies: [{ id, value }] });
  } catch (error) {
    connection.drop();
    answer({ replies: [{ id, fault: toFault(error) }] });
  }
}

port.on('message', (first: ToThread) => {
  for (let message: ToThread | undefined = first; message; ) {
    if ('close' in message) {
      connection.drop();
      port.close();
      return;
    }
    if (!('id' in message)) message = undefined;
    else if (message.method === 'open') message = void open(message.id);
    else message = runBatch(message);
  }
});
