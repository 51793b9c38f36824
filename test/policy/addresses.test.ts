import t from 'tap';
import { AddressBook, splitAddress } from '#app/policy/addresses';

const book = new AddressBook({
  domains: {
    'harbour.example': { aliases: ['harbor.example', 'HAVEN.example'] },
    'Bücher.example': {},
    'quay.example': {},
  },
  aliases: {
    'info@quay.example': 'Ben@quay.example',
    'Office@harbor.example': 'info@quay.example',
    'a@quay.example': 'b@quay.example',
    'b@quay.example': 'a@quay.example',
  },
});

t.test('the normal form of an address', async (t) => {
  const table: [address: string, owner: string, why: string][] = [
    ['ada@harbour.example', 'ada@harbour.example', 'stays'],
    ['Ada@Harbour.EXAMPLE', 'ada@harbour.example', 'lower case'],
    ['ada+shop@harbour.example', 'ada@harbour.example', 'tag cut'],
    ['ada+a+b@harbor.example', 'ada@harbour.example', 'alias domain, all of the tag'],
    ['+ada@harbour.example', '+ada@harbour.example', 'nothing before the plus'],
    ['ada@haven.example', 'ada@harbour.example', 'second alias, written in capitals'],
    ['ada@harbour.example.', 'ada@harbour.example', 'final dot'],
    ['Eve+tag@Elsewhere.example', 'eve+tag@elsewhere.example', 'tags elsewhere are no business of ours'],
    ['INFO+x@quay.example', 'ben@quay.example', 'alias after the tag was cut'],
    ['office@harbour.example', 'ben@quay.example', 'alias of an alias'],
    ['a@quay.example', 'a@quay.example', 'a circle ends'],
    ['b@quay.example', 'a@quay.example', 'and has one owner'],
    ['"ada"@harbour.example', 'ada@harbour.example', 'needless quotes'],
    ['"a\\da+x"@harbour.example', 'ada@harbour.example', 'quoted pair and tag'],
    ['"odd Name, with> comma"@quay.example', '"odd name, with> comma"@quay.example', 'needed quotes'],
    ['"a@b"@quay.example', '"a@b"@quay.example', 'an @ in the local part'],
    ['"x\\"y\\\\z"@quay.example', '"x\\"y\\\\z"@quay.example', 'quotes inside'],
    ['JÜRGEN@bücher.example', 'jürgen@xn--bcher-kva.example', 'UTF-8 domain'],
    ['j\u0075\u0308rgen@XN--Bcher-KVA.example', 'jürgen@xn--bcher-kva.example', 'A-label, decomposed local part'],
    ['ada@[192.0.2.1]', 'ada@[192.0.2.1]', 'address literal'],
    ['Postmaster', 'postmaster', 'no domain'],
    ['', '', 'nobody'],
  ];
  for (const [address, owner, why] of table) {
    t.equal(book.owner(address), owner, `${why}: ${address}`);
    t.equal(book.owner(owner), owner, `again: ${owner}`);
  }
});

t.test('which domains are ours', async (t) => {
  for (const ours of [
    'harbour.example',
    'x@HARBOR.example',
    'bücher.example',
    'a@xn--bcher-kva.example',
    '"a@b"@quay.example',
  ])
    t.ok(book.isOurs(ours), ours);
  for (const foreign of [
    'example',
    'sub.harbour.example',
    'x@elsewhere.example',
    '"x@harbour.example"',
    'postmaster@',
    '',
  ])
    t.notOk(book.isOurs(foreign), foreign);
  t.equal(book.domain('Harbor.Example'), 'harbour.example');
  t.equal(book.domain('Elsewhere.Example'), 'elsewhere.example');
  t.ok(book.hasDomains);
});

t.test('what a URL parser would make another domain of is left alone', async (t) => {
  const one = new AddressBook({ domains: { 'xn--tda.example': {}, '0.0.0.1': {}, 'example.com': {} } });
  for (const trap of [
    'ex%61mple.com',
    'ü.example/x',
    'ü%2Eexample',
    'ü.example:25',
    '1',
    'ü.example／x',
    'ex\u00adample.com@x',
  ])
    t.notOk(one.isOurs(`a@${trap}`), trap);
  t.ok(one.isOurs('a@ü.example'));
});

t.test('without domains every domain is ours', async (t) => {
  const all = new AddressBook({ aliases: { 'info@a.example': 'ada@a.example' } });
  t.notOk(all.hasDomains);
  t.ok(all.isOurs('x@anywhere.example'));
  t.equal(all.owner('Info+1@A.example'), 'ada@a.example');
  t.notOk(all.isOurs(''));
});

t.test('splits at the last @', async (t) => {
  t.same(splitAddress('"a@b"@c.example'), { local: '"a@b"', domain: 'c.example' });
  t.same(splitAddress('a'), { local: 'a', domain: '' });
});
