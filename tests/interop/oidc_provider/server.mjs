// An authorization server of oidc-provider, for tests on loopback: its clients, keys and rules come from a JSON file.
// It listens on two ports, plain and TLS, for the same issuer. How tokens are exchanged is in exchange.mjs.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { fileURLToPath } from 'node:url';

import Provider from 'oidc-provider';

import { extraClaims, registerExchange, registerLogin, resourceServer } from './exchange.mjs';

const settings = JSON.parse(readFileSync(fileURLToPath(new URL('settings.json', import.meta.url)), 'utf8'));

const certificateOf = (ctx) => {
  const certificate = ctx.socket.getPeerX509Certificate?.();
  return certificate?.toString();
};

const provider = new Provider(settings.issuer, {
  clients: settings.clients,
  jwks: settings.jwks,
  clientAuthMethods: [
    'none', 'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth',
    'self_signed_tls_client_auth',
  ],
  enabledJWA: {
    clientAuthSigningAlgValues: ['HS256', 'HS512', 'RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'],
  },
  scopes: settings.scopes,
  responseTypes: [],
  findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  extraTokenClaims: extraClaims,
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    introspection: {
      enabled: true,
      // Whoever a token is for may ask about it.
      allowedPolicy: (_ctx, client, token) => [token.aud].flat().includes(client.clientId),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (_ctx, name) => resourceServer(settings, name),
    },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: certificateOf,
      certificateAuthorized: (ctx) => ctx.socket.authorized === true,
      certificateSubjectMatches: (ctx, property, expected) => {
        const certificate = ctx.socket.getPeerX509Certificate();
        switch (property) {
          case 'tls_client_auth_san_dns':
            return certificate.subjectAltName.split(', ').includes(`DNS:${expected}`);
          case 'tls_client_auth_subject_dn':
            return certificate.subject === expected;
          default:
            return false;
        }
      },
    },
  },
});

registerExchange(provider, settings);
registerLogin(provider, settings);

const answer = provider.callback();
const tls = {
  cert: readFileSync(settings.tls.cert_file),
  key: readFileSync(settings.tls.key_file),
  ca: readFileSync(settings.tls.client_ca_file),
  requestCert: true,
  rejectUnauthorized: false, // what a certificate proves is for the provider to judge: some are signed by nobody
};
http.createServer(answer).listen(settings.port, '127.0.0.1');
https.createServer(tls, answer).listen(settings.tls.port, '127.0.0.1');
