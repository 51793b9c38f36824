/** A user's name as part of a path: no slash, no dot in front, nothing a file system would mind, and no two users the same. */
export const fileNameOf = (user: string): string =>
  encodeURIComponent(user)
    .replace(/%40/g, '@')
    .replace(/%2B/g, '+')
    .replace(/^\.|[*'()!~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** The path of a lesson: `{user}` in it stands for whose database learns. */
export const pathFor = (path: string, user: string | undefined): string =>
  user === undefined ? path : path.replaceAll('{user}', fileNameOf(user));
