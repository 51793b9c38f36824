/**
 * amavis' quarantine in a real PostgreSQL and a real MariaDB, written by amavis itself: what `lazaret import` takes over is
 * what went in, for those it was for, once, and amavis releases it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { AmavisDatabase, type AmavisRow } from '#app/files/amavis';
import { run } from '../cli/world.ts';
import { Amavis, amavisOrSkip } from '../support/amavis.ts';
import { startApp } from '../support/app.ts';
import {
  type DatabaseServer,
  mariadbOrSkip,
  postgresOrSkip,
  startMariadb,
  startPostgres,
} from '../support/databases.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';
import { freePort } from '../support/free-port.ts';
import { drop, gtube, recipient, sender, spam } from '../support/releases.ts';
import { Sink } from '../support/sink.ts';
import { submit } from '../support/submit.ts';

const page = 'docs/connect/amavis.md';
/** Of the user that may only read. */
const password = 'se/c@ret#1';
const written = encodeURIComponent(password);

interface Kind {
  readonly start: (t: Test, tls?: boolean) => Promise<DatabaseServer>;
  readonly isHere: (t: Test) => boolean;
  readonly schema: string;
  /** Before there is a database. */
  readonly first: string;
  readonly grants: string;
  readonly dsn: (port: number) => string;
  readonly endOthers: (server: DatabaseServer) => Promise<unknown>;
  /** Tables as they were long ago. */
  readonly idsAsText: string;
  readonly mailAsText: string;
  /** mail_text with another word for `Kept`. */
  readonly renamed: (word: string) => string;
}

const kinds: Readonly<Record<string, Kind>> = {
  PostgreSQL: {
    start: startPostgres,
    isHere: postgresOrSkip,
    schema: 'postgres.sql',
    first: 'CREATE DATABASE amavis',
    grants: `CREATE ROLE lazaret LOGIN PASSWORD '${password}'; CREATE ROLE amavis LOGIN PASSWORD 'amavis';
      GRANT SELECT ON msgs, msgrcpt, maddr, quarantine TO lazaret;
      GRANT ALL ON ALL TABLES IN SCHEMA public TO amavis; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO amavis`,
    dsn: (port) => `DBI:Pg:dbname=amavis;host=127.0.0.1;port=${port}', 'amavis', 'amavis`,
    endOthers: (server) =>
      server.run('amavis', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lazaret'"),
    idsAsText: ['msgs', 'msgrcpt', 'quarantine']
      .map((table) => `ALTER TABLE ${table} ALTER mail_id TYPE varchar(16) USING encode(mail_id, 'escape');`)
      .join('\n'),
    mailAsText: "ALTER TABLE quarantine ALTER mail_text TYPE text USING convert_from(mail_text, 'UTF8')",
    renamed: (word) => `convert_to(replace(convert_from(mail_text, 'UTF8'), 'Kept', ${word}), 'UTF8')`,
  },
  MariaDB: {
    start: startMariadb,
    isHere: mariadbOrSkip,
    schema: 'mysql.sql',
    first: 'CREATE DATABASE amavis',
    grants: `CREATE USER lazaret IDENTIFIED BY '${password}'; CREATE USER amavis IDENTIFIED BY 'amavis';
      ${['msgs', 'msgrcpt', 'maddr', 'quarantine'].map((table) => `GRANT SELECT ON ${table} TO lazaret;`).join(' ')}
      GRANT ALL ON amavis.* TO amavis`,
    dsn: (port) => `DBI:mysql:database=amavis;host=127.0.0.1;port=${port}', 'amavis', 'amavis`,
    endOthers: async (server) => server.run('amavis', 'KILL USER lazaret'),
    idsAsText: ['msgs', 'msgrcpt', 'quarantine']
      .map((table) => `ALTER TABLE ${table} MODIFY mail_id varchar(16) CHARACTER SET latin1 NOT NULL;`)
      .join('\n'),
    mailAsText: 'ALTER TABLE quarantine CHANGE mail_text mail_text text CHARACTER SET latin1 NOT NULL',
    renamed: (word) => `replace(mail_text, 'Kept', ${word})`,
  },
};

for (const [name, kind] of Object.entries(kinds))
  t.test(`amavis' quarantine in ${name}`, async (t) => {
    if (!amavisOrSkip(t) || !kind.isHere(t)) return;
    const database = await kind.start(t);
    await database.run(database.kind === 'mysql' ? 'mysql' : 'postgres', kind.first);
    await database.run('amavis', readFileSync(join(import.meta.dirname, '../fixtures/amavis', kind.schema), 'utf8'));
    await database.run('amavis', kind.grants);
    const [mailbox, pdp] = [await Sink.start(t), await freePort()];
    const amavis = await Amavis.start(t, {
      files: {
        '60-lazaret': fill(blockOf(page, '60-lazaret'), {
          'smtp:[127.0.0.1]:10025': `smtp:[127.0.0.1]:${mailbox.port}`,
        }),
        '62-sql': fill(blockOf(page, '62-sql'), {
          "DBI:SQLite:dbname=/var/lib/amavis/log.db', '', '": kind.dsn(database.port),
        }),
        '63-release': fill(blockOf('docs/release.md', 'amavis/63-release'), {
          '10024': '$inet_socket_port',
          '9998': String(pdp),
        }),
        // Addresses are octets in its tables.
        '64-test': '$sql_allow_8bit_address = 1;\n$release_method = $forward_method;\n1;\n',
      },
    });
    const delivery = fill(blockOf('docs/release.md', 'amavis/lazaret.yaml'), { '9998': String(pdp) });
    const server = await startApp(t, parse(delivery));
    const config = join(server.folder, 'import.yaml');
    writeFileSync(config, JSON.stringify({ store: server.storeUrl }));
    const at = (parameters = '', user = `lazaret:${written}`, base = 'amavis') =>
      `${database.kind}://${user}@localhost:${database.port}/${base}${parameters}`;
    const imported = (place = at()) => run('import', '--amavis', place, '--config', config);
    const open = (place = at()) => AmavisDatabase.open(place, {});

    // All octets, and more chunks than are read at once.
    const all = Buffer.from(
      Array.from({ length: 256 }, (_, octet) => octet).filter((octet) => ![0, 10, 13].includes(octet)),
    );
    const large = Buffer.concat([
      Buffer.from(spam('Large', 'STAND-IN-VIRUS'), 'latin1'),
      ...Array.from({ length: 3000 }, () => [all, Buffer.from('\r\n')]).flat(),
    ]);
    const kept = spam('Kept', `${gtube}\r\nC:\\101`);
    const to = [recipient, 'zoë@harbour.example', '"a,b>c"@harbour.example'];
    const params = 'BODY=8BITMIME SMTPUTF8';
    await submit(amavis.port, { from: sender, to, message: kept, params });
    await submit(amavis.port, { from: '', to: ['ben@harbour.example'], message: large, params: 'BODY=8BITMIME' });
    await submit(amavis.port, { from: sender, to: [recipient], message: spam('Clean', 'Hello') });

    await t.test('it comes in once, octet for octet, for those it was for', async (t) => {
      t.match(await imported(), { code: 0, out: 'imported 2, already there 0, failed 0\n', err: '' });
      t.match(await imported(), { code: 0, out: 'imported 0, already there 2, failed 0\n', err: '' });
      const entries = await server.app.store.entries.list({ scope: { level: 'global' }, limit: 50 });
      t.same(
        entries.map((entry) => [entry.recipient, entry.message.sender, entry.verdict.reason]).sort(),
        [...to.map((address) => [address, sender, 'spam']), ['ben@harbour.example', '', 'virus']].sort(),
      );
      for (const [subject, message] of [
        ['Kept', Buffer.from(kept)],
        ['Large', large],
      ] as const) {
        const entry = entries.find((entry) => entry.message.subject === subject)!;
        const shown = await octets(server.app.store.messages.read(entry.messageId));
        t.ok(shown.subarray(-message.length).equals(message), subject);
        const { params, receivedAt } = (await server.app.store.messages.get(entry.messageId))!;
        t.match(params.amavis, { quarType: 'Q', mailId: /^[\w+-]{12}$/, secretId: /^[\w+-]{12}$/ });
        t.ok(Math.abs(Date.now() - receivedAt.getTime()) < 600_000);
      }
    });

    await t.test('what amavis keeps there, amavis releases', async (t) => {
      const entries = await server.app.store.entries.list({ scope: { level: 'global' }, limit: 50 });
      await drop(server, entries.find((entry) => entry.recipient === recipient)!);
      await Promise.race([server.until('released'), server.until('release-waits'), server.until('release-failed')]);
      t.match(server.events.at(-1), { kind: 'released', said: /^250 2\.0\.0 from MTA/ });
      t.match(mailbox.messages.at(-1), { sender, recipients: [recipient] });
      t.match(await imported(), { out: 'imported 0, already there 2, failed 0\n' });
    });

    await t.test('ways to it: by socket, with a certificate that is looked at, and without TLS', async (t) => {
      const again = { code: 0, out: 'imported 0, already there 2, failed 0\n' };
      const socket = database.kind === 'mysql' ? `socket=${database.socket}` : `host=${database.socket}`;
      t.match(await imported(`${database.kind}://lazaret:${written}@:${database.port}/amavis?${socket}`), again);
      t.match(await imported(at('?sslmode=disable')), again);
      t.match(await imported(at(`?sslmode=verify-full&sslrootcert=${database.certificate}`)), again);
      t.match(await imported(at('?sslmode=require')), again);
      const stranger = await imported(at('?sslmode=verify-full'));
      t.match(stranger, { code: 1, err: /localhost:\d+\/amavis cannot be read: self-signed certificate/ });
      const address = at(`?sslmode=verify-full&sslrootcert=${database.certificate}`).replace('localhost', '127.0.0.1');
      t.match(
        await imported(address),
        { code: 1, err: /IP: 127\.0\.0\.1 is not in the cert's list|write its name and not its IP address/ },
        'another name',
      );
      t.match(await imported(address.replace('verify-full', 'verify-ca')), again, 'whose name does not matter');

      const plain = await kind.start(t, false);
      const stays = (parameters: string) =>
        imported(`${plain.kind}://nobody:none@localhost:${plain.port}/amavis${parameters}`);
      t.match(await stays(''), { code: 1, err: /authentication failed|Access denied/ }, 'it was asked without TLS');
      t.match(await stays('?sslmode=require'), { code: 1, err: /does not support (?:SSL|secure)/ });
    });

    await t.test('what is wrong is told, without the password', async (t) => {
      await database.run('amavis', 'CREATE DATABASE other');
      for (const [place, err] of [
        [at('', 'lazaret:wr0ng'), /authentication failed|Access denied.*; is the password right\?/],
        [at('', 'lazaret'), /asks for a password, by PGPASSWORD|Access denied/],
        [at('', `lazaret:${written}`, 'nowhere'), /does not exist|Access denied|Unknown database/],
        [
          at('', `lazaret:${written}`, 'other'),
          /has to be the database of @storage_sql_dsn|GRANT SELECT on its tables/,
        ],
      ] as const) {
        const ran = await imported(place);
        t.match(ran, { code: 1, err });
        t.notMatch(ran.err, new RegExp(`wr0ng|ret#1|${written}|\n +at `));
      }
      await database.run('amavis', 'REVOKE SELECT ON quarantine FROM lazaret');
      t.match(await imported(), { code: 1, err: /quarantine.*; GRANT SELECT on its tables to that user$/m });
      await database.run('amavis', 'GRANT SELECT ON quarantine TO lazaret');
    });

    await t.test('mail kept as text is not read; the statement that is told makes octets of it', async (t) => {
      // Text cannot have all octets: without the large one.
      await database.run('amavis', "DELETE FROM msgs WHERE content <> 'S'");
      for (const table of ['msgrcpt', 'quarantine'])
        await database.run('amavis', `DELETE FROM ${table} WHERE mail_id NOT IN (SELECT mail_id FROM msgs)`);
      await database.run('amavis', kind.mailAsText);
      const { code, err } = await imported();
      const statement = /keeps mail as text, .* by: (ALTER TABLE .*)\n/.exec(err)?.[1];
      t.equal(code, 1);
      if (!statement) throw new Error(err);
      await database.run('amavis', statement);
      t.match(await imported(), { out: 'imported 0, already there 1, failed 0\n' });
      await database.run('amavis', kind.idsAsText);
      t.match(await imported(), { out: 'imported 0, already there 1, failed 0\n' }, 'ids may be text');
    });

    const many = 600;
    /** As many again of the one that is there, each about something else. */
    const copy = (tag: number) => {
      const into = (table: string, columns: string, values = columns) =>
        `INSERT INTO ${table} (partition_tag, mail_id, ${columns}) SELECT ${tag}, concat('m', n), ${values}
         FROM ${table}, numbers WHERE partition_tag = 0;`;
      return [
        into('msgs', 'secret_id, am_id, time_num, time_iso, sid, size, quar_type, host'),
        into('msgrcpt', 'rseqnum, rid, ds, rs'),
        into('quarantine', 'chunk_ind, mail_text', `chunk_ind, ${kind.renamed(`concat('Kept ${tag} ', n)`)}`),
      ].join('\n');
    };

    await t.test('an import that loses its connection is told, and goes on when it is run again', async (t) => {
      const numbers = Array.from({ length: many }, (_, n) => `(${n})`);
      await database.run(
        'amavis',
        `CREATE TABLE numbers (n integer); INSERT INTO numbers VALUES ${numbers}; ${copy(7)}`,
      );
      const first = imported();
      const { store } = server.app;
      const newest = async () => (await store.entries.list({ scope: { level: 'global' }, limit: 1 }))[0]!;
      const before = (await newest()).id;
      while ((await newest()).id === before) await new Promise((resolve) => setTimeout(resolve, 5));
      await kind.endOthers(database);
      t.match(await first, { code: 1, out: '', err: /^lazaret: \S+\/amavis cannot be read: .*\n$/ });
      const again = await imported();
      const [, added, known] = /^imported (\d+), already there (\d+), failed 0\n$/.exec(again.out) ?? [];
      t.equal(Number(added) + Number(known), many + 1, again.out + again.err);
      t.ok(Number(added) > 0 && Number(known) > 1, again.out);
      t.match(await imported(), { code: 0, out: `imported 0, already there ${many + 1}, failed 0\n` });
    });

    await t.test('all are read as they were at the beginning, whatever happens meanwhile', async (t) => {
      await database.run('amavis', copy(8));
      const reading = await opened(t, open);
      const rows: string[] = [];
      let found = 0;
      for await (const row of reading.rows()) {
        if (rows.length === 0) await database.run('amavis', 'DELETE FROM msgs; DELETE FROM quarantine');
        rows.push(`${row.partitionTag} ${row.mailId}`);
        if ((await octets(reading.message(row))).includes(`Subject: Kept`)) found++;
      }
      t.equal(new Set(rows).size, 2 * many + 1);
      t.same([rows.length, found], [2 * many + 1, 2 * many + 1]);
      t.same(await rowsOf(await opened(t, open)), [], 'the next one sees that they are gone');
    });

    await t.test('a connection that is lost ends it, and is told', async (t) => {
      const reading = await opened(t, open);
      await kind.endOthers(database);
      await t.rejects(reading.row('x'), { name: 'TablesError', message: /\/amavis cannot be read: \S/ });
      await t.rejects(reading.recipients({ key: { mailId: 'x', partition: 0 } }), { name: 'TablesError' });
    });
  });

async function opened(t: Test, open: () => Promise<AmavisDatabase>): Promise<AmavisDatabase> {
  const database = await open();
  t.teardown(() => database.close());
  return database;
}

async function rowsOf(database: AmavisDatabase): Promise<AmavisRow[]> {
  const rows: AmavisRow[] = [];
  for await (const row of database.rows()) rows.push(row);
  return rows;
}

async function octets(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}
