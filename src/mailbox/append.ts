/**
 * APPEND (DESIGN §7.10). Onto a Release folder it brings nothing in: its bytes only name an entry that is held here, and
 * what is delivered are the stored ones. Onto Spam and Not Spam the message is kept until it was learned from. Anywhere
 * else it is refused before the bytes are sent.
 */
import { createHash } from 'node:crypto';
import { sees } from '#app/policy/permissions';
import { appendRefusal } from '#app/quarantine/actions';
import { type FolderRecord, folderOf } from '#app/quarantine/folders';
import type { Appended } from '#imap/backend';
import { No } from '#imap/errors';
import { Summarizer } from '#imap/mime/summary';
import type { ActionFolder, Entry, EntryId, Message } from '#store/model';
import type { Who, World } from './account.ts';
import { idIn, shownLength, splitPrefix } from './appended-prefix.ts';
import { copyStays } from './dropping.ts';
import { refusal } from './named.ts';

export type Take = (source: AsyncIterable<Uint8Array>) => Promise<Appended>;

/** @throws No  CANNOT, before any byte was asked for */
export function appendTo(world: World, who: Who, folder: FolderRecord): Take {
  const refused = appendRefusal(folder.role);
  if (refused) throw refusal(refused);
  const action = folder.role as ActionFolder;
  return action === 'release' || action === 'release-train'
    ? (source) => releaseIdentical(world, who, action, source)
    : async (source) => {
        await keepForTraining(world, who, action, source);
        // Sessions in that folder are told; what is kept is kept, also if that cannot be read just now.
        await world.feed.refresh().catch(() => undefined);
        return {};
      };
}

async function releaseIdentical(
  world: World,
  who: Who,
  action: 'release' | 'release-train',
  source: AsyncIterable<Uint8Array>,
): Promise<Appended> {
  const { prefix, rest } = await splitPrefix(source);
  const shown = await shownEntry(world, who, prefix);
  const top = Buffer.from(prefix.slice(shown?.prefixLength ?? 0), 'latin1');
  const { digests, size } = await hashToEnd(top, rest);

  let entry: Entry | undefined;
  if (shown) {
    const message = await world.store.messages.get(shown.entry.messageId);
    if (message && (digests.includes(message.sha256) || (await isShownAs(world, message, digests, size))))
      entry = shown.entry;
  } else {
    const found = new Map<EntryId, Entry>();
    for (const digest of digests)
      for (const each of await world.store.drops.heldByHash(who.scope, digest)) found.set(each.id, each);
    if (found.size > 1)
      throw new No('CANNOT', `It is held here ${found.size} times, please release it out of the folder it lies in`);
    [entry] = found.values();
  }
  if (!entry) throw new No('CANNOT', 'It is not identical to a message held here, and nothing else can be released');
  return releaseEntry(world, who, action, entry);
}

async function releaseEntry(
  world: World,
  who: Who,
  action: 'release' | 'release-train',
  entry: Entry,
): Promise<Appended> {
  const { uid, folder } = entry;
  if (uid === undefined || folder === undefined) {
    if (entry.state === 'dropped') {
      // A drop may be repeated: a client that lost the answer appends again.
      const drops = (await world.store.entries.history(entry.id))?.drops ?? [];
      if (drops.find(({ id }) => id === entry.dropId)?.action === action) return {};
    }
    const was = entry.state === 'dropped' || entry.state === 'released' ? 'was already released' : 'is no longer held';
    throw new No('CANNOT', `It ${was}, and only what is held here can be put on ${folderOf(action).name}`);
  }
  if (folder === 'training' || folder === 'trash')
    throw new No('CANNOT', `It lies in ${folderOf(folder).name}, and nothing can be released from there`);
  const { copyUid } = await copyStays(world, who, [uid], { from: folder, action, progress: () => undefined }, 'append');
  const given = copyUid?.to[0];
  return given === undefined ? {} : { uid: { uidValidity: world.store.uidValidity, uid: given } };
}

/** The entry that our lines above an appended message name, if this scope sees it and was shown just these lines. */
async function shownEntry(
  world: World,
  who: Who,
  prefix: string,
): Promise<{ readonly entry: Entry; readonly prefixLength: number } | undefined> {
  const id = idIn(prefix);
  if (id === undefined) return undefined;
  const entry = await world.store.entries.get(id as EntryId);
  if (!entry || !sees(who.scope, entry.owner)) return undefined;
  const prefixLength = shownLength(prefix, entry.prefix);
  return prefixLength === undefined ? undefined : { entry, prefixLength };
}

/** Whether these are digests of the message as clients see it where it has a NUL: 0x80 in its place (DESIGN §7.7). */
async function isShownAs(world: World, message: Message, digests: readonly string[], size: number): Promise<boolean> {
  if (message.size !== size && message.size !== size + 2) return false;
  const hash = createHash('sha256');
  for await (const chunk of world.store.messages.read(message.id))
    hash.update(chunk.includes(0) ? chunk.map((octet) => (octet === 0 ? 0x80 : octet)) : chunk);
  return digests.includes(hash.digest('hex'));
}

/** SHA-256 of all, and, for what does not end in CRLF, of the same with the CRLF that SMTP puts there (DESIGN §7.12). */
async function hashToEnd(
  top: Uint8Array,
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly digests: readonly string[]; readonly size: number }> {
  const hash = createHash('sha256').update(top);
  let size = top.length;
  let last = 0;
  let beforeLast = 0;
  for await (const chunk of source) {
    hash.update(chunk);
    size += chunk.length;
    if (chunk.length === 0) continue;
    beforeLast = chunk.length > 1 ? chunk[chunk.length - 2]! : last;
    last = chunk[chunk.length - 1]!;
  }
  const endsRight = beforeLast === 0x0d && last === 0x0a;
  const withCrlf = hash.copy().update('\r\n').digest('hex');
  return { digests: endsRight ? [hash.digest('hex')] : [hash.digest('hex'), withCrlf], size };
}

async function keepForTraining(
  world: World,
  who: Who,
  action: 'spam' | 'not-spam',
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { store } = world;
  // What was dragged out of here and comes back has our lines above it; nobody should learn from those.
  const { prefix, rest } = await splitPrefix(source);
  const summarizer = new Summarizer();
  const bodyHash = new BodyHash();
  const bytes = await store.messages.put(watched(rest, summarizer, bodyHash));
  try {
    const { headerSize, subject, from, envelope, bodyStructure, body, commonFields, parts } = summarizer.end();
    await store.drops.appendForTraining(
      {
        bytes,
        bodySha256: bodyHash.digest(),
        headerSize,
        sender: '',
        params: {},
        filterBlock: new Uint8Array(),
        summary: { envelope, bodyStructure, body, commonFields, parts, subject, from },
      },
      { actor: who.actor, scope: who.scope, action, undoMs: 0, hostname: world.hostname },
    );
  } catch (error) {
    await store.messages.discard(bytes).catch(() => undefined);
    throw error;
  }
  world.log.debug({ account: who.name, action, size: bytes.size, own: prefix !== '' }, 'appended for training');
  world.onEvent({ kind: 'dropped', account: who.name, action, count: 1 });
}

async function* watched(
  source: AsyncIterable<Uint8Array>,
  ...watchers: readonly { push(chunk: Uint8Array): void }[]
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    for (const watcher of watchers) watcher.push(chunk);
    yield chunk;
  }
}

/** SHA-256 of what follows the first empty line; of nothing if there is none. */
class BodyHash {
  readonly #hash = createHash('sha256');
  #lineIsEmpty = true;
  #inBody = false;

  push(chunk: Uint8Array): void {
    let at = 0;
    while (!this.#inBody && at < chunk.length) {
      const octet = chunk[at++]!;
      if (octet === 0x0a) {
        this.#inBody = this.#lineIsEmpty;
        this.#lineIsEmpty = true;
      } else if (octet !== 0x0d) this.#lineIsEmpty = false;
    }
    if (this.#inBody && at < chunk.length) this.#hash.update(chunk.subarray(at));
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}
