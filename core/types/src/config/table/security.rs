//! Keys about access control, TLS, SASL and delegation tokens: nothing of this is served, so most of them are refused. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Access control" {
        "authorizer.class.name" String "" [any] ReadOnly Refused;
        "connection.failed.authentication.delay.ms" Int "100" [at_least 0] ReadOnly Accepted;
        "connections.max.reauth.ms" Long "0" [any] ReadOnly Refused;
        "principal.builder.class" Class "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder" [any] PerBroker Refused;
        "security.inter.broker.protocol" String "PLAINTEXT" [one_of "PLAINTEXT" "SSL" "SASL_PLAINTEXT" "SASL_SSL"] ReadOnly Refused;
        "security.providers" String null [any] ReadOnly Refused;
    }
    group "SASL" {
        "sasl.client.callback.handler.class" Class null [any] ReadOnly Refused;
        "sasl.enabled.mechanisms" List "GSSAPI" [distinct may_be_empty] PerBroker Refused;
        "sasl.jaas.config" Password null [any] PerBroker Refused;
        "sasl.kerberos.kinit.cmd" String "/usr/bin/kinit" [any] PerBroker Refused;
        "sasl.kerberos.min.time.before.relogin" Long "60000" [any] PerBroker Refused;
        "sasl.kerberos.principal.to.local.rules" List "DEFAULT" [distinct may_be_empty] PerBroker Refused;
        "sasl.kerberos.service.name" String null [any] PerBroker Refused;
        "sasl.kerberos.ticket.renew.jitter" Double "0.05" [any] PerBroker Refused;
        "sasl.kerberos.ticket.renew.window.factor" Double "0.8" [any] PerBroker Refused;
        "sasl.login.callback.handler.class" Class null [any] ReadOnly Refused;
        "sasl.login.class" Class null [any] ReadOnly Refused;
        "sasl.login.connect.timeout.ms" Int null [any] ReadOnly Refused;
        "sasl.login.read.timeout.ms" Int null [any] ReadOnly Refused;
        "sasl.login.refresh.buffer.seconds" Short "300" [any] PerBroker Refused;
        "sasl.login.refresh.min.period.seconds" Short "60" [any] PerBroker Refused;
        "sasl.login.refresh.window.factor" Double "0.8" [any] PerBroker Refused;
        "sasl.login.refresh.window.jitter" Double "0.05" [any] PerBroker Refused;
        "sasl.login.retry.backoff.max.ms" Long "10000" [any] ReadOnly Refused;
        "sasl.login.retry.backoff.ms" Long "100" [any] ReadOnly Refused;
        "sasl.mechanism.controller.protocol" String "GSSAPI" [any] ReadOnly Refused;
        "sasl.mechanism.inter.broker.protocol" String "GSSAPI" [any] PerBroker Refused;
        "sasl.oauthbearer.assertion.algorithm" String "RS256" [one_of_any_case "ES256" "RS256"] ReadOnly Refused;
        "sasl.oauthbearer.assertion.claim.aud" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.assertion.claim.exp.seconds" Int "300" [between 0 86400] ReadOnly Refused;
        "sasl.oauthbearer.assertion.claim.iss" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.assertion.claim.jti.include" Boolean "false" [any] ReadOnly Refused;
        "sasl.oauthbearer.assertion.claim.nbf.seconds" Int "60" [between 0 3600] ReadOnly Refused;
        "sasl.oauthbearer.assertion.claim.sub" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.assertion.file" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.assertion.private.key.file" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.assertion.private.key.passphrase" Password null [any] ReadOnly Refused;
        "sasl.oauthbearer.assertion.template.file" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.client.credentials.client.id" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.client.credentials.client.secret" Password null [any] ReadOnly Refused;
        "sasl.oauthbearer.clock.skew.seconds" Int "30" [any] ReadOnly Refused;
        "sasl.oauthbearer.expected.audience" List "" [distinct may_be_empty] ReadOnly Refused;
        "sasl.oauthbearer.expected.issuer" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.jwks.endpoint.refresh.ms" Long "3600000" [any] ReadOnly Refused;
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms" Long "10000" [any] ReadOnly Refused;
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms" Long "100" [any] ReadOnly Refused;
        "sasl.oauthbearer.jwks.endpoint.url" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.jwt.retriever.class" Class "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever" [any] ReadOnly Refused;
        "sasl.oauthbearer.jwt.validator.class" Class "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator" [any] ReadOnly Refused;
        "sasl.oauthbearer.scope" String null [any] ReadOnly Refused;
        "sasl.oauthbearer.scope.claim.name" String "scope" [any] ReadOnly Refused;
        "sasl.oauthbearer.sub.claim.name" String "sub" [any] ReadOnly Refused;
        "sasl.oauthbearer.token.endpoint.url" String null [any] ReadOnly Refused;
        "sasl.server.callback.handler.class" Class null [any] ReadOnly Refused;
        "sasl.server.max.receive.size" Int "524288" [any] ReadOnly Refused;
    }
    group "TLS" {
        "ssl.allow.dn.changes" Boolean "false" [any] ReadOnly Refused;
        "ssl.allow.san.changes" Boolean "false" [any] ReadOnly Refused;
        "ssl.cipher.suites" List "" [distinct may_be_empty] PerBroker Refused;
        "ssl.client.auth" String "none" [one_of "required" "requested" "none"] PerBroker Refused;
        "ssl.enabled.protocols" List "TLSv1.2,TLSv1.3" [distinct may_be_empty] PerBroker Refused;
        "ssl.endpoint.identification.algorithm" String "https" [any] PerBroker Refused;
        "ssl.engine.factory.class" Class null [any] PerBroker Refused;
        "ssl.key.password" Password null [any] PerBroker Refused;
        "ssl.keymanager.algorithm" String "SunX509" [any] PerBroker Refused;
        "ssl.keystore.certificate.chain" Password null [any] PerBroker Refused;
        "ssl.keystore.key" Password null [any] PerBroker Refused;
        "ssl.keystore.location" String null [any] PerBroker Refused;
        "ssl.keystore.password" Password null [any] PerBroker Refused;
        "ssl.keystore.type" String "JKS" [any] PerBroker Refused;
        "ssl.principal.mapping.rules" String "DEFAULT" [any] ReadOnly Refused;
        "ssl.protocol" String "TLSv1.3" [any] PerBroker Refused;
        "ssl.provider" String null [any] PerBroker Refused;
        "ssl.secure.random.implementation" String null [any] PerBroker Refused;
        "ssl.trustmanager.algorithm" String "PKIX" [any] PerBroker Refused;
        "ssl.truststore.certificates" Password null [any] PerBroker Refused;
        "ssl.truststore.location" String null [any] PerBroker Refused;
        "ssl.truststore.password" Password null [any] PerBroker Refused;
        "ssl.truststore.type" String "JKS" [any] PerBroker Refused;
    }
    group "Delegation tokens" {
        "delegation.token.expiry.check.interval.ms" Long "3600000" [at_least 1] ReadOnly Accepted;
        "delegation.token.expiry.time.ms" Long "86400000" [at_least 1] ReadOnly Accepted;
        "delegation.token.max.lifetime.ms" Long "604800000" [at_least 1] ReadOnly Accepted;
        "delegation.token.secret.key" Password null [any] ReadOnly Refused;
    }
};
