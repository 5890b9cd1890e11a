/**
 * Which addresses an origin may be at: public ones, and those that the operator allows by range.
 *
 * Names prove nothing, since whoever answers for a name may let it mean another address at any time. So the rule is
 * applied where a name becomes the address that is connected to, each time (`guardLookup`); there is no second lookup
 * in between. Addresses of IPv6 are public when IANA gives them out as global unicast, without the blocks that are for
 * tunnels, benchmarks and documents: so an IPv4 address inside an IPv6 one (mapped, NAT64, 6to4, Teredo) is not public,
 * whatever it holds. A range of IPv4 that is allowed is allowed in its mapped form too.
 */
import type { LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { TierRefusal } from './tier.js';

/** IANA's special-purpose registry; 168.63.129.16 is a cloud's metadata service at a public address. */
const NOT_PUBLIC = blockList([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
]);

const GLOBAL_UNICAST = blockList(['2000::/3']);

export type AddressRule = (address: string) => boolean;

/** Ranges as `10.1.0.0/16`, `fd12::/48` or a single address. The rule, or what is wrong with a range. */
export function parseAddressRule(ranges: readonly string[]): AddressRule | string {
  const wrong = ranges.find(range => splitRange(range) === undefined);
  if (wrong !== undefined) return `allows the address ${wrong}, which is none and no range like 10.1.0.0/16`;
  const allowed = blockList(ranges);
  return address => isIn(allowed, address) || isPublic(address);
}

/** A lookup that gives none but addresses that the rule allows; where there is none of those, it fails. */
export function guardLookup(lookup: LookupFunction, rule: AddressRule): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, '');
      const addresses = (found as LookupAddress[]).filter(({ address }) => rule(address));
      const [first] = addresses;
      if (first === undefined) {
        return callback(
          new TierRefusal(`the origin ${hostname} is at no address that is public or allowed`),
          '',
        );
      }
      if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function isPublic(address: string): boolean {
  const isGlobal = isIP(address) === 4 || isIn(GLOBAL_UNICAST, address);
  return isGlobal && !isIn(NOT_PUBLIC, address);
}

function isIn(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const parts = splitRange(range);
    if (parts !== undefined) list.addSubnet(...parts);
  }
  return list;
}

function splitRange(range: string): [address: string, bits: number, family: 'ipv4' | 'ipv6'] | undefined {
  const [, address = '', bits] = /^([0-9A-Fa-f.:]+)(?:\/([0-9]{1,3}))?$/.exec(range) ?? [];
  const version = isIP(address);
  if (version === 0) return undefined;
  const bitsMax = version === 4 ? 32 : 128;
  const prefix = bits === undefined ? bitsMax : Number(bits);
  return prefix <= bitsMax ? [address, prefix, version === 4 ? 'ipv4' : 'ipv6'] : undefined;
}
