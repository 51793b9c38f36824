/** Blocks of a page → files, and a page's ports and paths → the test's. */
import t from 'tap';
import { blocksIn, fill } from './doc-blocks.ts';

const page = `# A page

\`\`\`cf file=main.cf
a = 1
\`\`\`
Not a file:
\`\`\`sh
rm -r a
\`\`\`
1. In a list:
   ~~~perl file=amavisd.conf
   $a = <<'X';
     \`\`\`
   X
   ~~~

\`\`\`\`yaml file=main.cf
b = 2
\`\`\`\`
`;

t.test('a page is read as its named blocks, and two of one name are one file', async (t) => {
  t.strictSame(
    [...blocksIn(page, 'page.md')],
    [
      ['main.cf', 'a = 1\nb = 2\n'],
      ['amavisd.conf', "$a = <<'X';\n  ```\nX\n"],
    ],
  );
});

t.test('a block without an end, with two names or with none is an error that says where', async (t) => {
  t.throws(() => blocksIn('```x file=a\n', 'page.md'), { message: /page\.md: .*never closed/ });
  t.throws(() => blocksIn('\n```x file=a file=b\n```\n', 'page.md'), { message: /page\.md:2: .*one file name/ });
  t.throws(() => blocksIn('```file=\n```\n', 'page.md'), { message: /page\.md:1: / });
});

t.test('what a page prints is replaced as whole words and once', async (t) => {
  t.equal(
    fill('to 127.0.0.1:24, 127.0.0.1:2424, x127.0.0.1:24 and 127.0.0.1:10024', {
      '127.0.0.1:24': '127.0.0.1:10024',
      '127.0.0.1:10024': '127.0.0.1:24',
    }),
    'to 127.0.0.1:10024, 127.0.0.1:2424, x127.0.0.1:24 and 127.0.0.1:24',
  );
  t.equal(fill('/var/lib/amavis/db /var/lib/amavis', { '/var/lib/amavis': '/a', '/var/lib/amavis/db': '/b' }), '/b /a');
  t.equal(fill('{x} [127.0.0.1]:24', { '[127.0.0.1]:24': '$&' }), '{x} $&');
});

t.test('a word that is not there is an error that names it', async (t) => {
  t.throws(() => fill('a b', { b: 'x', c: 'y', d: 'z' }), { message: /not there: c, d/ });
});
