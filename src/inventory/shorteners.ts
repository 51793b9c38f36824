/** Services that shorten addresses: where a link on them leads cannot be seen. Well-known ones, those below them included. */
const shorteners: ReadonlySet<string> = new Set(
  `1url.com adf.ly amzn.to aka.ms b.link bit.do bit.ly bitly.com bl.ink buff.ly chilp.it clck.ru clicky.me cli.re cutt.ly
  db.tt did.li dlvr.it fb.me gg.gg git.io goo.gl goo.su hyperurl.co ift.tt is.gd j.mp kutt.it l.ead.me lc.cx linkd.in lnkd.in
  lnk.to mcaf.ee murl.kz n9.cl nyti.ms oe.cd ow.ly owl.li po.st qr.ae qrco.de rb.gy rebrand.ly reurl.cc s.id s.yam.com
  shorl.com short.gy short.io shorte.st shorturl.at shorturl.com smarturl.it snip.ly snipurl.com soo.gd spoti.fi su.pr
  surl.li t.co t.ly t2m.io tiny.cc tiny.one tiny.pl tinyurl.com tr.im trib.al tny.im u.to ur0.jp urlz.fr v.gd vk.cc vzturl.com
  wp.me x.co x.gd y2u.be yourls.org zpr.io zws.im`
    .split(/\s+/)
    .filter((name) => name !== ''),
);

/** `domain` in lower case. */
export function isShortener(domain: string): boolean {
  const labels = domain.split('.');
  for (let from = Math.max(0, labels.length - 3); from < labels.length - 1; from += 1)
    if (shorteners.has(labels.slice(from).join('.'))) return true;
  return false;
}
