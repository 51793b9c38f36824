/** What a command answers when it does not answer OK. Thrown anywhere, turned into bytes in one place (dispatch.ts). */

/** Response codes we use: RFC 3501, 4315, 5530, 7162, 7889. */
export type ResponseCode =
  | 'ALERT'
  | 'ALREADYEXISTS'
  | 'AUTHENTICATIONFAILED'
  | 'AUTHORIZATIONFAILED'
  | 'BADCHARSET'
  | 'CANNOT'
  | 'CLIENTBUG'
  | 'CONTACTADMIN'
  | 'EXPUNGEISSUED'
  | 'INUSE'
  | 'LIMIT'
  | 'NONEXISTENT'
  | 'NOPERM'
  | 'OVERQUOTA'
  | 'PARSE'
  | 'PRIVACYREQUIRED'
  | 'READ-ONLY'
  | 'SERVERBUG'
  | 'TOOBIG'
  | 'TRYCREATE'
  | 'UNAVAILABLE';

/** Refused: `tag NO [CODE] text`. The text is one sentence a person can understand; mail clients show it. */
export class No extends Error {
  readonly code: ResponseCode | undefined;
  constructor(code: ResponseCode | undefined, text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = 'No';
    this.code = code;
  }
}

/** Not understood, or not allowed in this state: `tag BAD text`. Counts towards the cut-off for bad commands. */
export class Bad extends Error {
  readonly code: ResponseCode | undefined;
  constructor(text: string, code?: ResponseCode) {
    super(text);
    this.name = 'Bad';
    this.code = code;
  }
}

/** The connection ends: `* BYE text`. */
export class Bye extends Error {
  readonly code: ResponseCode | undefined;
  constructor(text: string, code?: ResponseCode) {
    super(text);
    this.name = 'Bye';
    this.code = code;
  }
}
