/** The settings of what listens by HTTP: tokens are never kept nor shown, and what cannot work is said. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import { run as runVerb } from '#app/cli/program';
import { ConfigError, configFrom } from '#app/config/load';

const token = 'correct-horse-battery';
const sha256 = createHash('sha256').update(token).digest('hex');

const problems = (tree: Record<string, unknown>): string => {
  try {
    configFrom(tree);
    return '';
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ text }) => text).join('\n');
  }
};

t.test('listeners have their defaults, and tokens become hashes at once', async (t) => {
  const { intake, api, trainingRequested } = configFrom({
    intake: {
      http: [
        '127.0.0.1:8025',
        { listen: '[::1]:8443/tls', direction: 'outgoing', filter: 'amavis', class: 'training' },
      ],
      tokens: [
        token,
        { name: 'rspamd', token: `sha256:${sha256}` },
        { name: 'haraka', token: 'another-token-0123456789' },
      ].filter((_, at) => at !== 1),
    },
    api: { listen: ['127.0.0.1:8081'], tokens: [{ name: 'panel', token: `SHA256:${sha256.toUpperCase()}` }] },
    trainingRequested: { on: ['Harbour.Example', 'Ada@Harbour.Example'], keepFor: '1d' },
  });
  t.same(intake.http, [
    { host: '127.0.0.1', port: 8025, tls: false, direction: 'auto', filter: 'none' },
    { host: '::1', port: 8443, tls: true, direction: 'outgoing', filter: 'amavis', class: 'training' },
  ]);
  t.same(intake.tokens[0], { name: 'unnamed', sha256 });
  t.equal(intake.tokens[1]?.name, 'haraka');
  t.same(api.tokens, [{ name: 'panel', sha256 }]);
  t.same(trainingRequested, { default: 'off', on: ['harbour.example', 'Ada@harbour.example'], keepFor: 86_400_000 });
  t.equal(configFrom({}).intake.http.length, 0, 'nothing listens unless it is said');
});

t.test('what cannot work is said, and no token with it', async (t) => {
  for (const [tree, expected] of [
    [{ intake: { http: ['127.0.0.1:8025'] } }, /intake.http stands here without intake.tokens/],
    [{ api: { listen: ['127.0.0.1:8081'] } }, /api.listen stands here without api.tokens/],
    [
      { intake: { tokens: ['short-secret'] } },
      /intake.tokens\[1\]: expected a token of at least 16 characters.*found something else/,
    ],
    [{ intake: { tokens: ['a secret with blanks in it'] } }, /expected a token/],
    [{ intake: { tokens: ['sha256:secret'] } }, /expected a token/],
    [{ intake: { tokens: [{ name: 'a', token: 'short-secret' }] } }, /expected a token/],
    [{ intake: { tokens: [{ name: 'a', token: { secret: 1 } }] } }, /expected a token/],
    [{ intake: { tokens: 'secret-secret-secret' } }, /intake.tokens: expected a list of tokens, found something else/],
    [{ intake: { tokens: [token, `sha256:${sha256}`] } }, /intake.tokens\[2\] stands here twice/],
    [{ intake: { http: [{ listen: '127.0.0.1:8025', class: 'unsure' }] } }, /expected one of held, training/],
    [
      { intake: { http: [{ listen: '127.0.0.1:8025', clas: 'training' }] } },
      /clas: unknown setting; did you mean .*class/,
    ],
    [{ intake: { http: ['127.0.0.1:24'], tokens: [token] } }, /127.0.0.1:24 is already used by intake.lmtp/],
    [{ trainingRequested: { on: ['not a domain'] } }, /expected a domain or an address/],
    [{ trainingRequested: { default: true } }, /expected one of on, off/],
  ] as const) {
    const said = problems(tree);
    t.match(said, expected, JSON.stringify(tree));
    t.notMatch(said, /short-secret|correct-horse|secret-secret|with blanks/);
  }
});

t.test('config show hides tokens', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lazaret-config-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'lazaret.yaml');
  writeFileSync(
    file,
    `intake:\n  http: ["127.0.0.1:8025"]\n  tokens: ["${token}", { name: panel, token: "${token}-2" }]\n`,
  );
  for (const form of [[], ['--json']]) {
    const out: string[] = [];
    const io = { env: {}, stdin: Readable.from([]), out: (text: string) => void out.push(text), err: () => {} };
    t.equal(await runVerb(['config', 'show', ...form, '--config', file], io), 0);
    t.match(out.join(''), /8025/);
    t.match(out.join(''), /panel/);
    t.notMatch(out.join(''), new RegExp(token));
  }
});
