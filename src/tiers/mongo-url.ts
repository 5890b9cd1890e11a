/**
 * MongoDB's connection string, as far as it is read here: which options stand in it, which database it names, and how
 * it is shown to people. Its hosts and options are the driver's to understand.
 */

const SCHEME = /^mongodb(\+srv)?:\/\//;
/** Options whose values are secrets, or may hold one. */
const SECRET_OPTIONS = new Set(['authmechanismproperties', 'proxypassword', 'tlscertificatekeyfilepassword']);
const HIDDEN = '***';

/**
 * The connection string without its secrets. Passwords with characters that should have been escaped are hidden too:
 * everything from the first colon to the last `@` is.
 */
export function shownUrl(url: string): string {
  const scheme = SCHEME.exec(url)?.[0];
  if (scheme === undefined) return HIDDEN;
  const rest = url.slice(scheme.length);
  const at = rest.lastIndexOf('@');
  const user = at < 0 ? '' : `${/^[^:@/?]*/.exec(rest)?.[0]}:${HIDDEN}@`;
  const place = rest.slice(at + 1);
  const query = place.indexOf('?');
  if (query < 0) return scheme + user + place;
  const options = place
    .slice(query + 1)
    .split('&')
    .map(option => {
      const [name = ''] = option.split('=', 1);
      return SECRET_OPTIONS.has(name.toLowerCase()) ? `${name}=${HIDDEN}` : option;
    });
  return `${scheme}${user}${place.slice(0, query)}?${options.join('&')}`;
}

/** The database that the connection string names, or `undefined`. */
export function databaseOfUrl(url: string): string | undefined {
  const name = /^[a-z+]+:\/\/[^/?]*\/([^?]+)/.exec(url)?.[1];
  return name === undefined ? undefined : decodeURIComponent(name);
}

/** Names of the options in the connection string, in lower case: the driver does not tell cases apart. */
export function optionsOfUrl(url: string): ReadonlySet<string> {
  const query = url.indexOf('?');
  const names = query < 0 ? [] : [...new URLSearchParams(url.slice(query + 1)).keys()];
  return new Set(names.map(name => name.toLowerCase()));
}
