/** The thread that takes messages apart. Whatever becomes of it, the main thread goes on. */
import { setPriority } from 'node:os';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { PartTable } from '#imap/mime/part-table';
import type { Answer, Hello, Piece } from './protocol.ts';
import { InventoryReader } from './reader.ts';
import { ownThread } from './thread-time.ts';

// On Linux a priority is a thread's: what takes mail in goes first. Elsewhere it would be the whole process's.
if (process.platform === 'linux') setPriority(19);

const port = parentPort as MessagePort;
port.postMessage({ thread: ownThread() } satisfies Hello);
let reader: InventoryReader | undefined;

function take({ parts, octets, last }: Piece): Answer {
  try {
    if (parts) reader = new InventoryReader(new PartTable(parts));
    if (!reader) return { problem: 'its parts are not known' };
    reader.push(octets);
    if (!last) return {};
    const inventory = reader.end();
    reader = undefined;
    return { inventory };
  } catch (error) {
    reader = undefined;
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

port.on('message', (piece: Piece) => port.postMessage(take(piece)));
