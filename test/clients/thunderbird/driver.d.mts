/** What test/slow uses of the driver; README.md explains each call. */
export type Selector = '*' | { uid?: number | number[]; subject?: string; from?: string; messageId?: string };

export interface Seen {
  readonly subject: string;
  readonly uid: number;
  readonly read: boolean;
}

export interface Result {
  readonly ok: boolean;
  readonly status: string;
  readonly count?: number;
  readonly commands: readonly { readonly command: string; readonly reply?: string }[];
  readonly events: readonly { readonly type?: string; readonly message?: string }[];
}

export interface ShownFolder {
  readonly name?: string;
  readonly path?: string;
  readonly displayName: string;
  readonly canFileMessages: boolean;
  readonly canOpen: boolean;
  readonly total: number;
  readonly unread: number;
}

export class Thunderbird {
  static start(options: Record<string, unknown>): Promise<Thunderbird>;
  connect(): Promise<Result & { readonly folders: readonly ShownFolder[] }>;
  folder(name: string): Promise<ShownFolder>;
  open(name: string): Promise<Result & { readonly messages: readonly Seen[] }>;
  messages(name: string): Promise<readonly Seen[]>;
  source(name: string, selector: Selector): Promise<string>;
  display(name: string, selector: Selector): Promise<string>;
  drop(from: string, selector: Selector, to: string, options?: { copy?: boolean }): Promise<Result>;
  drag(from: string, selector: Selector, to: string): Promise<Result>;
  undo(): Promise<Result>;
  delete(name: string, selector: Selector): Promise<Result>;
  addLocal(name: string, raw: readonly string[]): Promise<string>;
  waitForMessages(
    name: string,
    condition: { min?: number; max?: number; subject?: string; absent?: string },
    timeoutMs?: number,
  ): Promise<readonly Seen[]>;
  show(name: string): Promise<Result>;
  screenshot(file: string, options?: { desktop?: boolean }): Promise<void>;
  events(): Promise<readonly { readonly type?: string; readonly message?: string }[]>;
  setDialogPolicy(policy: { answer: 'accept' | 'cancel' | 'leave'; delayMs?: number }): Promise<void>;
  stop(): Promise<void>;
}
