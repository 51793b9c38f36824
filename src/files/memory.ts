/**
 * Which files of a folder were taken already, kept in the store beside the mail itself: a folder that is only read has no
 * other sign. A file is known by its name, size and time, so one that is written anew is a new one. In 64 parts, so that a
 * note about one of 100,000 files writes a few kilobytes.
 */
import { createHash } from 'node:crypto';
import { basename, dirname, join, relative } from 'node:path';
import { maildirName } from './mail-files.ts';

export interface Marks {
  get(name: string): Promise<Uint8Array | undefined>;
  put(name: string, value: Uint8Array): Promise<void>;
}

const parts = 64;
const idOctets = 8;

/** A file's name in the folder, with its size and time, as 16 hexadecimal digits. */
export function fileId(folder: string, path: string, size: number, modifiedMs: number): string {
  const place = dirname(path);
  // A Maildir's file wanders from `new` to `cur` and changes its flags, and stays the same mail.
  const name = /^(?:new|cur)$/.test(basename(place)) ? join(dirname(place), maildirName(path)) : path;
  return createHash('sha256')
    .update(`${relative(folder, name)}\0${size}\0${Math.floor(modifiedMs)}`)
    .digest('hex')
    .slice(0, 2 * idOctets);
}

export class Memory {
  readonly #marks: Marks;
  readonly #name: string;
  #taken: Set<string> | undefined;
  /** Parts are written one after the other: a later one has what an earlier one has. */
  #writing: Promise<void> = Promise.resolve();

  constructor(marks: Marks, folder: string) {
    this.#marks = marks;
    this.#name = `watch.${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`;
  }

  async load(): Promise<void> {
    if (this.#taken) return;
    const taken = new Set<string>();
    for (let part = 0; part < parts; part++) {
      const value = await this.#marks.get(`${this.#name}.${part}`);
      const octets = Buffer.from(value ?? []);
      for (let at = 0; at + idOctets <= octets.length; at += idOctets)
        taken.add(octets.toString('hex', at, at + idOctets));
    }
    this.#taken = taken;
  }

  /** After `load`. */
  has(id: string): boolean {
    return this.#taken?.has(id) === true;
  }

  async add(id: string): Promise<void> {
    this.#taken?.add(id);
    await this.#write(new Set([partOf(id)]));
  }

  /** Everything else is not there any more. */
  async keepOnly(present: ReadonlySet<string>): Promise<void> {
    const gone = [...(this.#taken ?? [])].filter((id) => !present.has(id));
    for (const id of gone) this.#taken?.delete(id);
    await this.#write(new Set(gone.map(partOf)));
  }

  #write(changed: ReadonlySet<number>): Promise<void> {
    this.#writing = this.#writing
      .catch(() => {}) // told to whoever asked for it
      .then(async () => {
        for (const part of changed) {
          const ids = [...(this.#taken ?? [])].filter((id) => partOf(id) === part);
          await this.#marks.put(`${this.#name}.${part}`, Buffer.from(ids.join(''), 'hex'));
        }
      });
    return this.#writing;
  }
}

const partOf = (id: string) => Number.parseInt(id.slice(0, 2), 16) % parts;
