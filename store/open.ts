/** Store URL → driver. `sqlite:PATH` keeps everything in one file, `mongodb://…/DATABASE` in a replica set. */
import { resolve } from 'node:path';
import { StoreRefused } from './errors.ts';
import type { Store } from './port.ts';

export interface OpenOptions {
  /** A Float64 of milliseconds that the store adds to the machine's clock: tests move time with it. */
  readonly clock?: SharedArrayBuffer;
  /** SQLite: how long a write waits for another process that writes; 5000 by default. */
  readonly busyTimeoutMs?: number;
  /**
   * SQLite, false: answers before the disk has it; a crash of the machine may lose what was answered. For tests. MongoDB
   * always waits: reads see only what most nodes have on their disks, and would miss what was just answered.
   */
  readonly durable?: boolean;
  /** Opens a store whose import was begun and not finished, too: to go on with it. Nothing but `upkeep` is to be used then. */
  readonly unfinished?: boolean;
}

/** @throws StoreRefused, StoreUnavailable with a sentence that says what an operator can do */
export async function openStore(url: string, options: OpenOptions = {}): Promise<Store> {
  const colon = url.indexOf(':');
  const driver = colon < 0 ? '' : url.slice(0, colon);
  // Only the driver that is used is loaded.
  if (driver === 'mongodb' || driver === 'mongodb+srv') {
    const { openMongo } = await import('./mongo/store.ts');
    return openMongo({
      url,
      ...(options.clock ? { clock: options.clock } : {}),
      ...(options.unfinished ? { unfinished: true } : {}),
    });
  }
  if (driver !== 'sqlite')
    throw new StoreRefused(
      `The store "${withoutPassword(url)}" is of no known kind; write sqlite: and the path of a file, or mongodb://HOST:PORT/DATABASE`,
    );
  const path = url.slice(colon + 1);
  if (path === '' || path.startsWith(':') || path.startsWith('file:'))
    throw new StoreRefused(`The store "${url}" names no file; write sqlite: and the path of a file`);
  const { openSqlite } = await import('./sqlite/store.ts');
  return openSqlite({
    file: resolve(path),
    busyTimeoutMs: options.busyTimeoutMs ?? 5000,
    durable: options.durable ?? true,
    ...(options.clock ? { clock: options.clock } : {}),
    ...(options.unfinished ? { unfinished: true } : {}),
  });
}

const withoutPassword = (url: string): string => url.replace(/\/\/[^/@]*@/, '//…@');
