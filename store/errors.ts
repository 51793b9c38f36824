/** What a store throws. `temporary` errors go away by themselves or by an operator's hand; nothing was kept or changed. */

export class StoreError extends Error {
  readonly temporary: boolean;
  constructor(message: string, temporary: boolean, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.temporary = temporary;
  }
}

/** No write lock within the busy timeout: another process is writing for long. */
export class StoreBusy extends StoreError {
  constructor(message = 'The store is busy', options?: ErrorOptions) {
    super(message, true, options);
  }
}

/** No space left where the store lies. */
export class StoreFull extends StoreError {
  constructor(message = 'The store has no space left', options?: ErrorOptions) {
    super(message, true, options);
  }
}

/** The store cannot be reached, read or written: closed, gone, damaged, read-only. */
export class StoreUnavailable extends StoreError {
  constructor(message = 'The store is unavailable', options?: ErrorOptions) {
    super(message, true, options);
  }
}

/** The store was written by a newer program, or its location makes no sense. An operator has to act. */
export class StoreRefused extends StoreError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, false, options);
  }
}

export class NotFound extends StoreError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, false, options);
  }
}

export class Conflict extends StoreError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, false, options);
  }
}

/** The right to go on was lost to somebody else: a job's lease, a drop's lease. */
export class LeaseLost extends StoreError {
  constructor(message = 'The lease was lost', options?: ErrorOptions) {
    super(message, false, options);
  }
}
