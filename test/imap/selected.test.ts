/**
 * Several clients and a world that changes at random, against a model of what each client may believe. What DESIGN §7.5 and RFC 3501
 * §7.4.1 promise is checked at every response; at every sync point belief and truth must be the same.
 */
import t from 'tap';
import { mail } from '../support/fake-backend.ts';
import type { ImapClient } from '../support/imap-client.ts';
import { randomFrom } from './random.ts';
import { world } from './world.ts';

interface Believed {
  uid?: number;
  flags?: string;
}

class Believer {
  readonly client: ImapClient;
  readonly messages: Believed[] = [];
  constructor(client: ImapClient) {
    this.client = client;
  }

  /** Runs a command and takes in what it says. */
  async does(command: string, mayExpunge: boolean): Promise<string> {
    const { status, text, untagged } = await this.client.says(command);
    for (const line of untagged) this.#hears(line, mayExpunge, command);
    return `${status} ${text}`;
  }

  #hears(line: string, mayExpunge: boolean, command: string): void {
    const [, number, what, items] = /^\* ([0-9]+) (EXISTS|EXPUNGE|FETCH) ?(.*)$/.exec(line) ?? [];
    const n = Number(number);
    if (what === 'EXISTS') {
      if (n < this.messages.length) throw new Error(`${command}: EXISTS fell from ${this.messages.length} to ${n}`);
      while (this.messages.length < n) this.messages.push({});
    } else if (what === 'EXPUNGE') {
      if (!mayExpunge) throw new Error(`${command}: ${line}`);
      if (n < 1 || n > this.messages.length) throw new Error(`${command}: ${line} of ${this.messages.length}`);
      this.messages.splice(n - 1, 1);
    } else if (what === 'FETCH') {
      const message = this.messages[n - 1];
      if (!message) throw new Error(`${command}: ${line} of ${this.messages.length}`);
      const uid = Number(/UID ([0-9]+)/.exec(items!)?.[1]);
      if (uid) {
        if (message.uid && message.uid !== uid) throw new Error(`${command}: ${line}, but ${n} is UID ${message.uid}`);
        message.uid = uid;
      }
      const flags = /FLAGS \(([^)]*)\)/.exec(items!)?.[1];
      if (flags !== undefined) message.flags = flags;
    }
  }
}

for (const forgets of [false, true]) {
  t.test(
    `clients believe what is true, ${forgets ? 'also when departures are forgotten' : 'whatever happens'}`,
    async (t) => {
      const random = randomFrom(t);
      const { backend, client } = await world(t);
      const folder = backend.folder('Caught');
      folder.view.forgets = forgets;
      backend.copyLeaves = 'Trash';
      for (let i = 0; i < 10; i++) backend.put('Caught', mail('x'));
      const believers: Believer[] = [];
      for (let i = 0; i < 3; i++) {
        const believer = new Believer(await client());
        await believer.does(i === 2 ? 'SELECT Caught (CONDSTORE)' : 'SELECT Caught', false);
        await believer.does('FETCH 1:* (UID FLAGS)', false);
        believers.push(believer);
      }
      const anyUid = () => folder.view.uids[random(Math.max(1, folder.view.count))] ?? 1;
      for (let step = 0; step < 1_500; step++) {
        const believer = believers[random(believers.length)]!;
        const n = 1 + random(Math.max(1, believer.messages.length));
        const mine = believer.messages.length > 0;
        switch (random(14)) {
          case 0:
          case 1:
            backend.put('Caught', mail('x'));
            break;
          case 2:
            if (folder.view.count > 3) backend.remove('Caught', [anyUid()]);
            break;
          case 3:
            if (folder.view.count > 0)
              backend.setFlags('Caught', anyUid(), [['\\Seen'], ['\\Flagged', '$a'], []][random(3)]!);
            break;
          case 4:
            if (mine) await believer.does(`STORE ${n} ${['+', '-', ''][random(3)]}FLAGS (\\Seen)`, false);
            break;
          case 5:
            if (mine) await believer.does(`STORE ${n} +FLAGS (\\Deleted)`, false);
            break;
          case 6:
            await believer.does(`UID STORE ${anyUid()} +FLAGS (\\Flagged)`, false);
            break;
          case 7:
            if (mine) await believer.does(`FETCH ${n}:* (UID)`, false);
            break;
          case 8:
            await believer.does('SEARCH SEEN', false);
            break;
          case 9:
            if (mine) await believer.does(`COPY ${n} Trash`, false);
            break;
          case 10: {
            // RFC 6851: its own messages only
            if (!mine) break;
            const before = believer.messages.length;
            await believer.does(`MOVE ${n} INBOX`, true);
            if (believer.messages.length < before - 1) t.fail('MOVE told of others');
            break;
          }
          case 11:
            await believer.does('EXPUNGE', true);
            break;
          default: {
            if (random(2) === 0) await believer.does('CHECK', false);
            await believer.does('NOOP', true);
            const told = believer.messages.map(({ flags }) => flags);
            const truth = Array.from(folder.view.uids.subarray(0, folder.view.count));
            await believer.does('FETCH 1:* (UID FLAGS)', false);
            const uids = believer.messages.map(({ uid }) => uid);
            if (JSON.stringify(uids) !== JSON.stringify(truth)) t.same(uids, truth, `step ${step}: UIDs`);
            // Every flag that was ever told is the true one now; new messages had none told.
            believer.messages.forEach(({ flags }, i) => {
              if (told[i] !== undefined && told[i] !== flags)
                t.equal(told[i], flags, `step ${step}: flags of ${i + 1}`);
            });
          }
        }
      }
      t.pass('to the end');
    },
  );
}

t.test('a sync point costs what changed, and belief is no copy', async (t) => {
  const { Selected } = await import('#imap/selected');
  const { backend, client } = await world(t);
  const c = await client();
  await c.ok('NOOP');
  for (let i = 0; i < 100; i++) backend.put('Caught', mail('x'));
  const [session] = backend.sessions;
  const mailbox = await session!.open('Caught', false);
  const selected = new Selected(mailbox, false);
  const written: string[] = [];
  const out = { text: (text: string) => written.push(text), bytes() {}, number() {}, ready: () => undefined };
  t.equal(selected.uids.buffer, mailbox.view.uids.buffer, 'shared at SELECT');
  backend.put('Caught', mail('x'));
  await selected.sync(out, false, false);
  t.equal(selected.uids.buffer, mailbox.view.uids.buffer, 'and after an arrival');
  backend.remove('Caught', [5]);
  await selected.sync(out, true, false);
  t.equal(selected.uids.buffer, mailbox.view.uids.buffer, 'and after a departure that was told');
  t.same(written, ['* 101 EXISTS\r\n', '* 5 EXPUNGE\r\n']);
});
