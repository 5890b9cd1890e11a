/** What attempts at poisoning a cache are made of: keys that look alike, keys that are none, headers. */

/** Paths' last parts as they go on the wire. Each of `DIFFERENT` is another entry. */
const ALIKE = words(`
  key Key KEY key%20 %20key key%00 %00key key%09 key%0D%0A key/ /key key// a/b a//b a/./b a/../b b ../b ..%5Cb a%5Cb
  a%252Fb a%25252Fb a+b a%20b ab a;b a%3Fb a%23b a&b a=b a,b a:b a%3A%3Ab a%7Cb a%22b a'b a*b a%25b
  __proto__ constructor toString undefined null @results results ..%2Fplans%2Fentries%2Fkey`);
/** é as one character and as two, a k of full width, a in three scripts, ß and ss, four i, the Kelvin sign. */
const ALIKE_TO_PEOPLE = words(`
  %C3%A9 e%CC%81 %EF%BD%8B k %D0%B0 %CE%B1 a %C3%9F ss %C4%B0 %C4%B1 i I i%CC%87 %E2%84%AA K`);
/** Joiners, a soft hyphen, a mark of direction, a variation selector, a byte order mark, what stands for no character. */
const WITH_UNSEEN = words(`
  k%E2%80%8Dey k%E2%80%8Cey k%C2%ADey %E2%80%8Fkey key%EF%B8%8F %EF%BB%BFkey %EF%BF%BD`);
export const DIFFERENT = [...ALIKE, ...ALIKE_TO_PEOPLE, ...WITH_UNSEEN];

function words(text: string): string[] {
  return text.split(/\s+/).filter(word => word !== '');
}

/** Two spellings of one key. */
export const SAME = [
  ['%6Bey', 'key'],
  ['a%2Fb', 'a/b'],
  ['a%2fb', 'a/b'],
  ['a%2F%2E%2E%2Fb', 'a/../b'],
  ['a%2Bb', 'a+b'],
  ['%c3%a9', '%C3%A9'],
] as const;

/** No UTF-8, or none that everybody reads alike: an overlong slash, half a surrogate pair. */
export const NO_KEYS = words('%C0%AF a%C0%80 %ED%A0%80 %FF % %z a%2');

/** What a request may say beside its key; whatever of it could be found again has `evil` in it. */
export const HEADERS = `
Host: evil.example
X-Forwarded-Host: evil.example
X-Forwarded-For: evil
X-Forwarded-Proto: evil
X-Forwarded-Prefix: /evil
X-Host: evil
Forwarded: host=evil;proto=evil
Via: 1.1 evil
X-Original-URL: /v1/caches/results/entries/evil
X-Rewrite-URL: /evil
X-HTTP-Method-Override: DELETE
X-Method-Override: evil
Cookie: evil=1
Authorization: evil
Accept: text/evil
Accept-Language: evil
Accept-Encoding: evil
Origin: http://evil
User-Agent: evil
Cache-Control: no-store, no-cache, max-age=0
Pragma: no-cache
Cache-Tags: evil
Cache-Status: evil; hit
Age: 100
ETag: "evil"
Range: bytes=0-0
If-Range: "evil"
If-Match: "evil"
If-None-Match: "evil"
If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT
If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT
Connection: keep-alive, Headrace-Lease, ETag, Content-Length
Keep-Alive: timeout=0
Proxy-Connection: close
TE: evil
Trailer: Evil
Expect: evil
Headrace-Lease: evil
Content-Type: text/evil`
  .split('\n')
  .filter(line => line !== '');
