/** A store in a folder of its own, with a clock that the test moves. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import type { Test } from 'tap';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import type { Damage, Harness } from './contract/harness.ts';

export async function openHarness(t: Test): Promise<Harness> {
  const clock = new SharedArrayBuffer(8);
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-store-'));
  const file = join(folder, 'lazaret.db');
  const opened: Store[] = [];
  const again = async (options: { readonly unfinished?: boolean } = {}): Promise<Store> => {
    const store = await openStore(`sqlite:${file}`, { clock, durable: false, ...options });
    opened.push(store);
    return store;
  };
  t.teardown(async () => {
    await Promise.all(opened.map((store) => store.close()));
    await rm(folder, { recursive: true, force: true });
  });
  return {
    store: await again(),
    advance: (ms) => {
      new Float64Array(clock)[0]! += ms;
    },
    again,
    damage: damageTo(file),
  };
}

function damageTo(file: string): Damage {
  const run = async (...statements: readonly (readonly [sql: string, ...values: (number | string)[]])[]) => {
    const db = new DatabaseSync(file, { enableForeignKeyConstraints: false, timeout: 5000 });
    try {
      for (const [sql, ...values] of statements) db.prepare(sql).run(...values);
    } finally {
      db.close();
    }
  };
  const chunksOf = (id: number): [number, number] => [id * 65536, id * 65536 + 65535];
  const octets = (id: number) => ['DELETE FROM chunks WHERE id BETWEEN ? AND ?', ...chunksOf(id)] as const;
  return {
    removeOctets: (id) => run(octets(id)),
    changeOctet: (id, offset) =>
      run([
        `UPDATE chunks SET bytes = cast(substr(bytes, 1, ?2) || x'01' || substr(bytes, ?2 + 2) AS BLOB) WHERE id = ?1`,
        id * 65536,
        offset,
      ]),
    changeHash: (id) => run([`UPDATE messages SET sha256 = 'another' WHERE id = ?`, id]),
    removeMessage: (id) =>
      run(octets(id), ['DELETE FROM summaries WHERE message_id = ?', id], ['DELETE FROM messages WHERE id = ?', id]),
    removeEntry: (id) => run(['DELETE FROM stays WHERE entry_id = ?', id], ['DELETE FROM entries WHERE id = ?', id]),
    removeDrop: (id) => run(['DELETE FROM drops WHERE id = ?', id]),
    resetCounters: () =>
      run(['UPDATE counters SET last_uid = 0, last_mod_seq = 1, last_message_id = 0'], ['DELETE FROM tops']),
  };
}
