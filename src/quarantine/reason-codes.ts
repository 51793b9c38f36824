/**
 * The reason codes of IceWarp, which DMA runs as well: a letter means something only within its group, so `Body=S` and
 * `Bypass=S` have nothing in common. Five groups, in English and Dutch, in printable ASCII for header lines.
 */
export type Language = 'en' | 'nl';

type Words = readonly [en: string, nl: string];
type Group = 'Body' | 'Charset' | 'Bypass' | 'Live' | 'Intrusion';

const codes: Readonly<Record<Group, Readonly<Record<string, Words>>>> = {
  // "Spam Reasons, Body, Sender"
  Body: {
    P: ['the HTML and text parts do not match', 'de HTML- en tekstdelen komen niet overeen'],
    E: ['there are external images in the content', 'er staan externe afbeeldingen in de inhoud'],
    N: ['there is no text part', 'er is geen tekstdeel'],
    I: ['there is an embedded image in the content', 'er staat een ingesloten afbeelding in de inhoud'],
    B: ['there is neither a body nor a subject', 'er is geen inhoud en geen onderwerp'],
    R: ['it came without an intermediary server', 'het kwam zonder tussenliggende server'],
    S: ['the message contains a script', 'het bericht bevat een script'],
    F: ['a filter counts it as spam', 'een filter telt het als spam'],
    K: ['it holds a keyword of the blacklist', 'er staat een trefwoord van de zwarte lijst in'],
    X: ['it could not be put into quarantine', 'het kon niet in quarantaine worden geplaatst'],
  },
  Charset: {
    F: ['its character set is not allowed', 'de tekenset is niet toegestaan'],
    M: ['it does not say its character set', 'de tekenset ontbreekt'],
  },
  Bypass: {
    B: ['it is in the bypass file', 'het staat in het bypass-bestand'],
    G: ['the sender is in a GroupWare address book', 'de afzender staat in een GroupWare-adresboek'],
    H: [
      'white and black lists were passed over: it claims a local sender, but did not log in',
      'witte en zwarte lijsten zijn overgeslagen: het noemt een lokale afzender, maar meldde zich niet aan',
    ],
    K: ['it holds words of the whitelist', 'er staan woorden van de witte lijst in'],
    L: ['the license is invalid', 'de licentie is ongeldig'],
    M: ['checking is on for certain accounts only', 'controle is alleen voor bepaalde accounts ingeschakeld'],
    O: ['it is outgoing', 'het is uitgaand'],
    Q: ['senders of the local domain are on the whitelist', 'afzenders van het lokale domein staan op de witte lijst'],
    R: ["the sender is a contact in the recipient's IM roster", 'de afzender is een chatcontact van de ontvanger'],
    S: ['it is too large to be checked', 'het is te groot om te worden gecontroleerd'],
    T: ['the sender is trusted', 'de afzender is vertrouwd'],
    U: ['it is a report of the quarantine itself', 'het is een rapport van de quarantaine zelf'],
    W: [
      'the sender is on the whitelist, or a rule accepted it',
      'de afzender staat op de witte lijst, of een regel heeft het geaccepteerd',
    ],
    X: ['it could not be put into quarantine', 'het kon niet in quarantaine worden geplaatst'],
    J: [
      "the recipient's access mode does not allow quarantine",
      'de toegang van de ontvanger staat quarantaine niet toe',
    ],
    Z: ['it is set to local users', 'het is ingesteld op lokale gebruikers'],
  },
  Live: {
    Y: ['the LIVE servers call it spam', 'de LIVE-servers noemen het spam'],
    H: ['the LIVE servers call it bulk mail', 'de LIVE-servers noemen het bulkmail'],
    N: ['the LIVE servers call it genuine', 'de LIVE-servers noemen het echt'],
  },
  // "Intrusion Prevention"
  Intrusion: {
    C: ['a content filter blocked the sending server', 'een inhoudsfilter heeft de verzendende server geblokkeerd'],
    I: ['too many connections in one minute', 'te veel verbindingen in een minuut'],
    M: ['the message is too large', 'het bericht is te groot'],
    R: ['too many RSET commands', 'te veel RSET-opdrachten'],
    D: ['the sending server is on a DNS block list', 'de verzendende server staat op een DNS-blokkeerlijst'],
    A: ['mail was sent to a tarpit account', 'er is mail naar een tarpit-account gestuurd'],
    P: ['too many unknown recipients', 'te veel onbekende ontvangers'],
    Y: ['the server tried to relay', 'de server probeerde mail door te sturen'],
    S: ['the spam score was exceeded', 'de spamscore is overschreden'],
    U: ['it was blocked by hand', 'het is handmatig geblokkeerd'],
    L: ['too many failed logins', 'te veel mislukte aanmeldingen'],
  },
};

const spellings: Readonly<Record<string, Group>> = {
  body: 'Body',
  charset: 'Charset',
  bypass: 'Bypass',
  live: 'Live',
  intrusion: 'Intrusion',
  'intrusion prevention': 'Intrusion',
  intrusionprevention: 'Intrusion',
  ips: 'Intrusion',
};

/** The group by a name that the server writes for it. */
export function groupOf(name: string): string | undefined {
  const key = name.trim().toLowerCase();
  return Object.hasOwn(spellings, key) ? spellings[key] : undefined;
}

/** `Body=P` in words; undefined for anything else. */
export function wordsOfCode(code: string, language: Language = 'en'): string | undefined {
  const [group = '', letter = '', more] = code.split('=');
  if (more !== undefined || !Object.hasOwn(codes, group)) return undefined;
  const letters = codes[group as Group];
  const words = Object.hasOwn(letters, letter) ? letters[letter] : undefined;
  return words?.[language === 'nl' ? 1 : 0];
}

/** Every code, for tests and documentation. */
export const allCodes: readonly string[] = Object.entries(codes).flatMap(([group, letters]) =>
  Object.keys(letters).map((letter) => `${group}=${letter}`),
);
