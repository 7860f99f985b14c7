// Token exchange (RFC 8693) as a grant of oidc-provider, and a login without a browser to get subject tokens from.
// Nothing is allowed that the settings don't name: which client may ask for which audience, and which scopes it has.

import { createLocalJWKSet, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';

const TYPE = 'urn:ietf:params:oauth:token-type:';
export const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const LOGIN = 'urn:example:login';

const one = (value) => (Array.isArray(value) ? value : value === undefined ? [] : [value]);

function refuse(code, description) {
  throw new errors.CustomOIDCProviderError(code, description);
}

/** How tokens for an audience look: JWTs, but for those that the settings call opaque. */
export function resourceServer(settings, name) {
  const known = settings.audiences[name];
  if (!known) throw new errors.InvalidTarget('no such audience');
  return {
    scope: known.scope.join(' '),
    audience: name,
    accessTokenTTL: known.lifetime ?? 300,
    accessTokenFormat: known.opaque ? 'opaque' : 'jwt',
    ...(known.opaque ? {} : { jwt: { sign: { alg: settings.algorithm, kid: settings.signing_key } } }),
  };
}

/** The act claim that a token is to carry, by the token. */
const actors = new WeakMap();

export function extraClaims(_ctx, token) {
  const act = actors.get(token);
  return act && { act };
}

/** Verify a token of our own, JWT or opaque, and return its claims. */
async function read(provider, settings, token, type) {
  if (![`${TYPE}access_token`, `${TYPE}jwt`].includes(type)) refuse('invalid_request', 'token type is not supported');
  if (token.split('.').length === 3) {
    const keys = createLocalJWKSet({ keys: settings.jwks.keys.map(({ d, p, q, dp, dq, qi, ...key }) => key) });
    try {
      return (await jwtVerify(token, keys, { issuer: settings.issuer, requiredClaims: ['exp', 'sub'] })).payload;
    } catch {
      refuse('invalid_grant', 'the token is not valid');
    }
  }
  const found = await provider.AccessToken.find(token);
  if (!found?.isValid) refuse('invalid_grant', 'the token is not valid');
  return { sub: found.accountId, aud: found.aud, client_id: found.clientId, ...found.extra };
}

async function issue(provider, settings, { ctx, sub, audience, scope, act, gty }) {
  const { AccessToken, ResourceServer } = provider;
  const token = new AccessToken({ client: ctx.oidc.client, accountId: sub, scope: scope.join(' ') || undefined, gty });
  token.resourceServer = new ResourceServer(audience, resourceServer(settings, audience));
  if (act) actors.set(token, act);
  const value = await token.save();
  ctx.body = {
    access_token: value,
    token_type: token.tokenType,
    expires_in: token.expiration,
    ...(scope.length ? { scope: scope.join(' ') } : {}),
  };
}

export function registerExchange(provider, settings) {
  const parameters = [
    'audience', 'resource', 'scope', 'requested_token_type', 'subject_token', 'subject_token_type', 'actor_token',
    'actor_token_type',
  ];
  const handler = async (ctx) => {
    const { client, params } = ctx.oidc;
    if (!params.subject_token) refuse('invalid_request', 'subject_token is missing');
    const wanted = params.requested_token_type;
    if (wanted && wanted !== `${TYPE}access_token`) refuse('invalid_request', 'requested_token_type is not supported');
    const subject = await read(provider, settings, params.subject_token, params.subject_token_type);
    if (!one(subject.aud).includes(client.clientId)) refuse('invalid_grant', 'the token is not for this client');

    const targets = [...one(params.audience), ...one(params.resource)];
    if (targets.length !== 1) refuse('invalid_target', 'exactly one audience or resource');
    const [audience] = targets;
    const known = settings.audiences[audience];
    if (!known?.clients.includes(client.clientId)) refuse('invalid_target', 'not for this client');
    const scope = params.scope ? params.scope.split(' ') : [];
    if (!scope.every((name) => known.scope.includes(name))) refuse('invalid_scope', 'not of this audience');
    if (settings.denied.includes(subject.sub)) refuse('access_denied', 'not for this subject');

    let act;
    if (params.actor_token) {
      const actor = await read(provider, settings, params.actor_token, params.actor_token_type);
      act = { iss: settings.issuer, sub: actor.sub, ...(subject.act ? { act: subject.act } : {}) };
    } else if (subject.act) {
      act = subject.act;
    }
    await issue(provider, settings, { ctx, sub: subject.sub, audience, scope, act, gty: 'exchange' });
    ctx.body.issued_token_type = `${TYPE}access_token`;
  };
  provider.registerGrantType(EXCHANGE, handler, parameters, ['audience', 'resource']);
}

export function registerLogin(provider, settings) {
  const handler = async (ctx) => {
    const { login, audience, scope = '' } = ctx.oidc.params;
    await issue(provider, settings, { ctx, sub: login, audience, scope: scope.split(' ').filter(Boolean), gty: 'login' });
  };
  provider.registerGrantType(LOGIN, handler, ['login', 'audience', 'scope']);
}
