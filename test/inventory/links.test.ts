/** Where links lead: what browsers and mail programs would follow, however it is written. */
import t from 'tap';
import { Links } from '#app/inventory/links';

function domainsOf(text: string, kind: 'html' | 'plain'): string {
  const links = new Links();
  links[kind](text);
  return links.found
    .map(({ domain, count, shortener }) => `${domain}${count > 1 ? `×${count}` : ''}${shortener ? '!' : ''}`)
    .join(' ');
}

t.test('plain text', async (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['See https://www.example.com/a?b=c.', 'www.example.com'],
    ['HTTP://EXAMPLE.com:8080/ and (http://other.example).', 'example.com other.example'],
    ['www.shop.example/x, www.shop.example.', 'www.shop.example×2'],
    ['xwww.no.example a@www.no.example http://www.yes.example', 'www.yes.example'],
    ['<http://a.example/>"http://b.example"', 'a.example b.example'],
    ['ftp://files.example/x', 'files.example'],
    ['https://user:pass@evil.example/?http://good.example/', 'evil.example good.example'],
    ['http://good.example@evil.example/', 'evil.example'],
    ['http://3232235521/ http://0x7f.1/ http://[::1]/', '127.0.0.1 192.168.0.1 [::1]'],
    ['http://müller.example/ http://xn--mller-kva.example', 'xn--mller-kva.example×2'],
    ['http://exa%6dple.com/', 'example.com'],
    ['http://localhost/ http://nodots http://', ''],
    ['https://bit.ly/x http://sub.t.co/y https://nobit.ly.example', 'bit.ly! nobit.ly.example sub.t.co!'],
    ['http://a.b.c.d.e.f.example.com/', 'd.e.f.example.com'],
    [`http://${'a'.repeat(1000)}@evil.example/`, 'evil.example'],
    [`http://${'a'.repeat(1000)}.example/`, ''],
    ['mailto:a@b.example javascript:alert(1) no.link.example', ''],
  ];
  for (const [text, expected] of table) t.equal(domainsOf(text, 'plain'), expected, text.slice(0, 60));
});

t.test('HTML', async (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['<a href="http://login.spam.test/x">https://www.bank.example.com/</a>', 'login.spam.test www.bank.example.com'],
    ["<IMG SRC='//cdn.example/x.png'>", 'cdn.example'],
    ['<a href=http://bare.example/x>y</a>', 'bare.example'],
    ['<form action="https:\\\\back.example\\x">', 'back.example'],
    ['<a href="htt&#x70;&colon;//entity.example/">', 'entity.example'],
    ['<a href="ht\ntp://split\t.example/">', 'split.example'],
    ['<a href=" http://blank.example ">', 'blank.example'],
    ['<a href="https:one.example">', 'one.example'],
    ['<a href="/relative"><a href="mailto:a@b.example"><a href="#x">', ''],
    ['<div style="background:url(http://style.example/x)">', 'style.example'],
    ['<img srcset="https://one.example/a 1x, https://two.example/b 2x">', 'one.example two.example'],
    ['<meta http-equiv=refresh content="0; url=http://meta.example/">', 'meta.example'],
    ['<!-- http://comment.example -->', 'comment.example'],
    ['<a title="x > y" href="http://quoted.example">', 'quoted.example'],
    ['<a href="http://open.example/ and no end', 'open.example'],
    ['< a href="http://text.example"> 1<2 http://less.example', 'less.example text.example'],
    ['<a/href="http://slash.example"/>', 'slash.example'],
    ['<a href="data:text/html,http://inside.example">', ''],
    ['text http&#58;&#47;&#47;written.example/', 'written.example'],
  ];
  for (const [text, expected] of table) t.equal(domainsOf(text, 'html'), expected, text.slice(0, 60));
});

t.test('what is kept is bounded, and says that it was cut', async (t) => {
  const links = new Links();
  for (let n = 0; n < 300; n += 1) links.plain(`http://d${n}.example/`);
  links.plain('http://d1.example/ http://d1.example/');
  t.equal(links.found.length, 200);
  t.strictSame(links.found[0], { domain: 'd1.example', count: 3 });
  t.ok(links.cut);
  const many = new Links();
  many.plain('http://a.example '.repeat(30_000));
  t.strictSame(many.found, [{ domain: 'a.example', count: 20_000 }]);
  t.ok(many.cut);
});

t.test('half a megabyte of anything takes no time', async (t) => {
  const size = 512 * 1024;
  for (const piece of [
    ...[
      '<',
      '>',
      '<a ',
      '<a href=',
      '<a href="',
      "<a x='",
      '=',
      '&',
      '&#',
      '&#x41',
      'http://',
      'http:',
      'www.',
      '/',
      '\\',
    ],
    ...[
      'http://.',
      'http://a.',
      'http://@',
      'http://ä',
      '.',
      'http://a:',
      'http://\ud800',
      '<a href="//',
      '"',
      ' ',
      '<a\n\n',
    ],
    ...['<a href="http://x.example', '<a b=c/d/', 'http://:::', 'http://!!!', 'http://[', 'a@', '<a href=&#104;'],
  ])
    for (const kind of ['html', 'plain'] as const) {
      const text = piece.repeat(Math.ceil(size / piece.length));
      const began = performance.now();
      domainsOf(text, kind);
      const ms = performance.now() - began;
      t.ok(ms < 1500, `${JSON.stringify(piece)} as ${kind}: ${Math.round(ms)} ms`);
    }
});
