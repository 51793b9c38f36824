/** Forms and JSON with a message in them: whole, octet by octet and cut at random, they say the same; and what is none is refused. */
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { boundaryOf, partsOf } from '#app/web/form';
import { JsonMessage } from '#app/web/json-message';

async function* cut(octets: Buffer, size: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < octets.length; ) {
    const end = Math.min(octets.length, at + size());
    yield octets.subarray(at, end);
    at = end;
  }
}

/** Reads the same octets in three manners, which must agree; answers what they say, or the error. */
async function threeWays<T>(
  t: Test,
  octets: Buffer,
  read: (source: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T | Error> {
  const seed = randomBytes(4).readUInt32LE();
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 1 + ((state >>> 16) % 37);
  };
  const manners: [string, () => number][] = [
    ['whole', () => octets.length],
    ['octet by octet', () => 1],
    [`cut at random, seed ${seed}`, random],
  ];
  const results: (T | Error)[] = [];
  for (const [, size] of manners) results.push(await read(cut(octets, size)).catch((error: Error) => error));
  const told = results.map((result) => (result instanceof Error ? `Error: ${result.message}` : result));
  for (const [at, [name]] of manners.entries()) t.same(told[at], told[0], name);
  return results[0]!;
}

const latin1 = (text: string) => Buffer.from(text, 'latin1');

async function formOf(source: AsyncIterable<Uint8Array>, boundary = 'b0'): Promise<[string, string, string][]> {
  const found: [string, string, string][] = [];
  for await (const { name, type, body } of partsOf(source, boundary)) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    found.push([name, type, Buffer.concat(chunks).toString('latin1')]);
  }
  return found;
}
const part = (header: string, body: string) => `--b0\r\n${header}\r\n\r\n${body}\r\n`;
const named = (name: string, body: string) => part(`Content-Disposition: form-data; name="${name}"`, body);

t.test('a form gives its parts in their order, octets as they are', async (t) => {
  const every = String.fromCharCode(...Array.from({ length: 256 }, (_, octet) => octet));
  const form = [
    'what stands before the first is nothing\r\n',
    part(
      'Content-Disposition: form-data; name="metadata"\r\nContent-Type: application/JSON; charset=utf-8',
      '{"a": 1}',
    ),
    part('content-disposition: form-data; name=message; filename="message.eml"\r\ncontent-type: message/rfc822', every),
    named('rcpt', ''),
    named('a \\"quoted\\" name', '\r\n--b\r\n-b0\r\n--B0\r\n'),
    '--b0--\r\nnor is what stands behind the last\r\n--b0\r\n',
  ].join('');
  t.same(await threeWays(t, latin1(form), formOf), [
    ['metadata', 'application/json', '{"a": 1}'],
    ['message', 'message/rfc822', every],
    ['rcpt', '', ''],
    ['a "quoted" name', '', '\r\n--b\r\n-b0\r\n--B0\r\n'],
  ]);
  t.same(await threeWays(t, latin1('--b0--'), formOf), [], 'an empty one');
  t.same(await threeWays(t, latin1(`--b0 \t \r\n${named('x', 'y').slice(6)}--b0--`), formOf), [['x', '', 'y']]);
});

t.test('what is no form, or was cut, is refused', async (t) => {
  const whole = `${named('message', 'From: a\r\n\r\nb\r\n')}--b0--`;
  for (const [form, expected] of [
    ['', /ends in the middle/],
    [whole.slice(0, -2), /ends in the middle/],
    [whole.slice(0, 30), /ends in the middle/],
    [whole.replace('form-data', 'attachment'), /has no name/],
    [whole.replace('name=', 'mane='), /has no name/],
    [part('X: y', ''), /has no name/],
    [part('no colon', ''), /broken header/],
    [part(`X: ${'y'.repeat(40_000)}`, ''), /too long/],
    [
      part('Content-Disposition: form-data; name="x"\r\nContent-Transfer-Encoding: base64', 'eA=='),
      /must not be encoded/,
    ],
    [whole.replace('--b0\r\n', '--b0x\r\n'), /ends in the middle|followed by something else/],
  ] as const) {
    const result = await threeWays(t, latin1(form), formOf);
    t.match(result instanceof Error ? result.message : result, expected, form.slice(0, 60));
  }
});

t.test('the boundary is read from the type, quoted or not', async (t) => {
  t.equal(boundaryOf('multipart/form-data; boundary=b0'), 'b0');
  t.equal(boundaryOf('multipart/form-data; charset=x; Boundary = "a b:c"'), 'a b:c');
  for (const none of [
    'multipart/form-data',
    'multipart/form-data; boundary=',
    `x; boundary=${'b'.repeat(71)}`,
    'x; boundary="a "',
    'x; boundary="a\x00"',
  ])
    t.equal(boundaryOf(none), undefined, none);
});

t.test(
  'a long form without an end, and one of very many parts, take time that grows with their length alone',
  async (t) => {
    const began = performance.now();
    const almost = Buffer.alloc(8 * 1024 * 1024, '\r\n--b');
    await t.rejects(
      formOf(
        cut(Buffer.concat([latin1('--b0\r\nContent-Disposition: form-data; name=x\r\n\r\n'), almost]), () => 65_536),
      ),
    );
    const many = latin1(`${named('x', '').repeat(20_000)}--b0--`);
    t.equal((await formOf(cut(many, () => 65_536))).length, 20_000);
    t.ok(performance.now() - began < 20_000, `${Math.round(performance.now() - began)} ms`);
  },
);

async function jsonOf(source: AsyncIterable<Uint8Array>): Promise<[message: string, rest: unknown]> {
  const json = new JsonMessage();
  const chunks: Uint8Array[] = [];
  for await (const chunk of json.octets(source)) chunks.push(chunk);
  return [Buffer.concat(chunks).toString('latin1'), json.rest()];
}

t.test('JSON gives its message and the rest, wherever the message stands and however it is written', async (t) => {
  const every = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));
  const base64 = every.toString('base64');
  for (const [json, rest, message = every.toString('latin1')] of [
    [`{"message":"${base64}"}`, {}],
    [`{"message":"${base64.replace(/=+$/, '')}"}`, {}],
    [
      ` { "rcpt" : ["a@b", "c\\"d"], "message" : "${base64}" , "x": {"message": "no"}, "list": [{"message": 1}] } `,
      { rcpt: ['a@b', 'c"d'], x: { message: 'no' }, list: [{ message: 1 }] },
    ],
    [`{"message":"${base64.replaceAll('/', '\\/').replaceAll('+', '\\u002B')}","from":"\u00e4"}`, { from: 'ä' }],
    [`{"message":"${base64.replace(/.{60}/g, '$&\\r\\n')}\\n"}`, {}],
    [`{"message":"${every.toString('base64url')}"}`, {}],
    [`{"mess\\u0061ge":"${base64}"}`, {}],
    [`{"a":"message","message":"${base64}","b":"x:\\\\","c":null}`, { a: 'message', b: 'x:\\', c: null }],
    ['{"message":""}', {}, ''],
    ['{"message":"QQ=="}', {}, 'A'],
    ['{"__proto__":{"rcpt":"x@y"},"message":"QQ=="}', JSON.parse('{"__proto__":{"rcpt":"x@y"}}'), 'A'],
  ] as const)
    t.same(await threeWays(t, Buffer.from(json), jsonOf), [message, rest], json.slice(0, 60));
});

t.test('what is no JSON, no base64, or holds no message is refused', async (t) => {
  for (const [json, expected] of [
    ['', /no message/],
    ['nonsense', /no message/],
    ['[{"message":"QQ=="}]', /no message/],
    ['{"Message":"QQ=="}', /no message/],
    ['{"message":{"$ne":null}}', /no message/],
    ['{"message":null}', /no message/],
    ['{"metadata":{"message":"QQ=="}}', /no message/],
    ['{"message":"QQ==', /in the middle/],
    ['{"message":"QQ=="', /not JSON/],
    ['{"message":"QQ==",}', /not JSON/],
    ['{"message":"QQ=="}}', /not JSON/],
    ['{"message":"QQ==","message":"QQ=="}', /two messages/],
    ...['Q', 'QQ=', 'QQ===', 'QQ==QQ', 'Q=Q=', 'From: x', 'Q\\"Q', 'Q\\u0100', 'Q\\bQ', 'Q\u00e4QQ', '=QQQ'].map(
      (text) => [`{"message":"${text}"}`, /not base64/] as const,
    ),
  ] as const) {
    const result = await threeWays(t, Buffer.from(json), jsonOf);
    t.match(result instanceof Error ? result.message : result, expected, json.slice(0, 60));
  }
});

t.test('a large message in JSON is handed on in pieces, and nested nonsense costs nothing', async (t) => {
  const octets = randomBytes(6_000_000);
  const json = Buffer.from(`{"from":"a@b","message":"${octets.toString('base64')}","score":1}`);
  let largest = 0;
  const reader = new JsonMessage();
  const chunks: Uint8Array[] = [];
  const began = performance.now();
  for await (const chunk of reader.octets(cut(json, () => 65_536))) {
    largest = Math.max(largest, chunk.length);
    chunks.push(chunk);
  }
  t.ok(Buffer.concat(chunks).equals(octets));
  t.same(reader.rest(), { from: 'a@b', score: 1 });
  t.ok(largest <= 65_536);
  const much = Buffer.from(`{"x":"${'y'.repeat(1_100_000)}","message":"QQ=="}`);
  await t.rejects(jsonOf(cut(much, () => 65_536)), { message: /too much/, status: 413 });
  for (const opening of ['[', '{"x":', '"\\'])
    await t.rejects(jsonOf(cut(Buffer.from(opening.repeat(150_000)), () => 65_536)), opening);
  t.ok(performance.now() - began < 20_000, `${Math.round(performance.now() - began)} ms`);
});
