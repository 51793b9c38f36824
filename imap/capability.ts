/**
 * What we offer, and when. One line per capability with the RFC that says what it obliges us to; a line stands here only when the
 * commands do all of it.
 */
export interface Circumstances {
  readonly secure: boolean;
  /** Passwords may be sent on this connection. */
  readonly mayLogin: boolean;
  readonly authenticated: boolean;
  readonly appendOctets: number;
}

interface Capability {
  readonly name: string | ((now: Circumstances) => string);
  readonly rfc: number;
  readonly offered?: (now: Circumstances) => boolean;
}

const after = (now: Circumstances) => now.authenticated;
const loggingIn = (now: Circumstances) => !now.authenticated && now.mayLogin;

const capabilities: readonly Capability[] = [
  { name: 'IMAP4rev1', rfc: 3501 },
  { name: 'LITERAL+', rfc: 7888 },
  { name: 'ID', rfc: 2971 },
  { name: 'ENABLE', rfc: 5161 },
  { name: 'STARTTLS', rfc: 3501, offered: (now) => !now.secure && !now.authenticated },
  { name: 'LOGINDISABLED', rfc: 3501, offered: (now) => !now.authenticated && !now.mayLogin },
  { name: 'SASL-IR', rfc: 4959, offered: loggingIn },
  { name: 'AUTH=PLAIN', rfc: 4616, offered: loggingIn },
  { name: 'AUTH=LOGIN', rfc: 3501, offered: loggingIn },
  { name: 'IDLE', rfc: 2177, offered: after },
  { name: 'NAMESPACE', rfc: 2342, offered: after },
  { name: 'CHILDREN', rfc: 3348, offered: after },
  { name: 'UNSELECT', rfc: 3691, offered: after },
  { name: 'UIDPLUS', rfc: 4315, offered: after },
  { name: 'ESEARCH', rfc: 4731, offered: after },
  { name: 'LIST-EXTENDED', rfc: 5258, offered: after },
  { name: 'LIST-STATUS', rfc: 5819, offered: after },
  { name: 'SPECIAL-USE', rfc: 6154, offered: after },
  { name: 'MOVE', rfc: 6851, offered: after },
  { name: 'CONDSTORE', rfc: 7162, offered: after },
  { name: (now) => `APPENDLIMIT=${now.appendOctets}`, rfc: 7889, offered: after },
  { name: 'STATUS=SIZE', rfc: 8438, offered: after },
];

export function capabilityList(now: Circumstances): string {
  return capabilities
    .filter(({ offered }) => offered?.(now) ?? true)
    .map(({ name }) => (typeof name === 'string' ? name : name(now)))
    .join(' ');
}
