/** A thread that takes messages apart, or does what they say: hangs, sleeps, eats memory, throws, ends. */
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { Piece } from '#app/inventory/protocol';
import { InventoryReader } from '#app/inventory/reader';
import { ownThread } from '#app/inventory/thread-time';
import { PartTable } from '#imap/mime/part-table';

const port = parentPort as MessagePort;
port.postMessage({ thread: ownThread() });
let reader: InventoryReader | undefined;

port.on('message', ({ parts, octets, last }: Piece) => {
  const text = Buffer.from(octets).toString('latin1');
  if (text.includes('please hang')) for (;;);
  if (text.includes('please eat')) for (const kept: string[][] = []; ; ) kept.push(new Array(100_000).fill('x'));
  if (text.includes('please sleep')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  if (text.includes('please throw')) throw new Error('as asked');
  if (text.includes('please end')) process.exit(0);
  if (parts) reader = new InventoryReader(new PartTable(parts));
  reader?.push(octets);
  port.postMessage(last ? { inventory: reader?.end() } : {});
});
