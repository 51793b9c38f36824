/** What a server under measurement looks like from outside. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';

export { freePort } from '../test/support/free-port.ts';

export interface Peer {
  readonly name: string;
  readonly imapPort: number;
  readonly lmtpPort: number;
  readonly password: string;
  /** Where arriving mail is seen. */
  readonly folder: string;
  /** Makes a mailbox for this address. */
  addUser(address: string): void;
  /** `hasty`: for filling, what it acknowledges need not outlast a power failure, if it can do without. */
  start(hasty?: boolean): Promise<void>;
  /** Ends the server; what it keeps stays. */
  stop(): Promise<void>;
  /** Memory that its processes have for themselves (PSS). */
  memoryKilobytes(): number;
  /** After `stop`: nothing is left of it. */
  remove(): void;
}

/** Ends a process and waits for it. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill();
  await once(child, 'exit');
}

export async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    const socket = net.connect(port, '127.0.0.1');
    const up = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`nothing listens on port ${port}`);
}

/** PSS of a process, with `tree` of all that descend from it. */
export function pssKilobytes(pid: number, tree = false): number {
  const parents = new Map<number, number>();
  if (tree)
    for (const name of readdirSync('/proc'))
      if (/^\d+$/.test(name))
        try {
          const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
          parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
        } catch {
          // it ended meanwhile
        }
  const ours = (id: number): boolean => id === pid || (parents.has(id) && id > 1 && ours(parents.get(id)!));
  let sum = 0;
  for (const id of tree ? [...parents.keys()].filter(ours) : [pid])
    try {
      sum += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, 'latin1'))?.[1] ?? 0);
    } catch {
      // it ended meanwhile
    }
  return sum;
}
