/** What readers of archives have in common: what they answer, and how much of a name. */
import { textOf } from '#imap/mime/header';
import { clean } from '#imap/mime/words';

export interface Listing {
  readonly names: readonly string[];
  /** What has to be known besides, in words. */
  readonly notes: readonly string[];
}

/** Names of one archive, and characters of one name. */
export const maxNames = 100;
const maxName = 200;

export const damaged = 'damaged or cut';
/** The files, and what is in them and what they are called. */
export const encrypted = 'encrypted';
export const allEncrypted = 'encrypted, names included';
/** What a directory is called that is longer than is kept or unpacked here. */
export const tooLong = 'its directory was not read: too long';

export const cleanName = (name: string): string => clean(name, maxName);
export const nameOf = (octets: Uint8Array): string => cleanName(textOf(octets));

/** Of directories, as zip and tar have them themselves. */
export const withSlash = (name: string): string => (name.endsWith('/') ? name : `${name}/`);

/** The first names are kept, the others counted. */
export class Names {
  readonly kept: string[] = [];
  count = 0;

  /** `read` is asked for a name that is kept only. */
  add(read: () => string): void {
    this.count += 1;
    if (this.kept.length < maxNames) this.kept.push(read());
  }

  /** The note that there are others, if there are. */
  more(): string[] {
    return this.count > this.kept.length ? [`${this.count - this.kept.length} more names`] : [];
  }
}
