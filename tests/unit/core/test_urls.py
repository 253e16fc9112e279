"""Redis' URL as hosts hand it out: what is harmless is passed over, what nobody can use is refused with a sentence."""

import pytest

from shared.core.urls import RedisPlace, redis_place
from tests.each import each

FILE = __file__  # one that is there


@each(
    ("url", "place"),
    [
        ("redis://127.0.0.1:6379/0", RedisPlace((("127.0.0.1", 6379),))),
        ("redis://red-abc:6379", RedisPlace((("red-abc", 6379),))),  # Render
        (
            "redis://default:p@redis.railway.internal:6379",
            RedisPlace((("redis.railway.internal", 6379),), 0, "default", "p"),
        ),
        (
            "rediss://:p@ec2-1.compute.amazonaws.com:7000",
            RedisPlace((("ec2-1.compute.amazonaws.com", 7000),), 0, None, "p", tls=True),
        ),
        ("redis://h/3", RedisPlace((("h", 6379),), 3)),
        ("redis://h?db=4", RedisPlace((("h", 6379),), 4)),
        ("redis://:a%23b%2F%3F%40@h", RedisPlace((("h", 6379),), 0, None, "a#b/?@")),
        ("redis://:a@b@h", RedisPlace((("h", 6379),), 0, None, "a@b")),
        ("redis://[::1]:7/0", RedisPlace((("::1", 7),))),
        ("redis://h?ssl_cert_reqs=none", RedisPlace((("h", 6379),), verified=False)),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", RedisPlace((("h", 6379),), tls=True, verified=False)),
        ("rediss://h?ssl_cert_reqs=required", RedisPlace((("h", 6379),), tls=True)),
        ("rediss://h?ssl_cert_reqs=optional", RedisPlace((("h", 6379),), tls=True)),  # to a client it is the same
        ("rediss://h?ssl_check_hostname=false", RedisPlace((("h", 6379),), tls=True, checks_name=False)),
        ("rediss://h?ssl_check_hostname=True", RedisPlace((("h", 6379),), tls=True)),
        (
            f"rediss://h?ssl_ca_certs={FILE}&ssl_certfile={FILE}&ssl_keyfile={FILE}",
            RedisPlace(
                (("h", 6379),),
                tls=True,
                files=dict.fromkeys(("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"), FILE),
            ),
        ),
        ("redis://h?ssl=true", RedisPlace((("h", 6379),), tls=True)),
        ("redis://h?tls=require", RedisPlace((("h", 6379),), tls=True)),
        ("redis://h?ssl=False", RedisPlace((("h", 6379),))),
        ("redis://h/1?db=2", RedisPlace((("h", 6379),), 2)),  # as redis-py
        ("redis://h?database=3", RedisPlace((("h", 6379),), 3)),  # Lettuce
        ("redis://h?family=0&protocol=3&decode_responses=true&socket_timeout=soon", RedisPlace((("h", 6379),))),
        ("unix:///run/redis.sock?db=2", RedisPlace((), 2, socket="/run/redis.sock")),
        ("unix://:p@/run/redis.sock", RedisPlace((), 0, None, "p", socket="/run/redis.sock")),
        (
            "redis+sentinel://u:p@one:26379,two/main/1?sentinel_password=q",
            RedisPlace((("one", 26379), ("two", 26379)), 1, "u", "p", service="main", sentinel_password="q"),
        ),
        ("rediss+sentinel://one/main", RedisPlace((("one", 26379),), tls=True, service="main")),
        ("valkeys://default:p@h:1", RedisPlace((("h", 1),), 0, "default", "p", tls=True)),  # Aiven
        ("redis-sentinel://one,two/main", RedisPlace((("one", 26379), ("two", 26379)), service="main")),
        ("redis+sentinel://one/3?service_name=main", RedisPlace((("one", 26379),), 3, service="main")),
        ("redis+sentinel://one?master_name=main", RedisPlace((("one", 26379),), service="main")),  # Celery
        ("sentinel://one:5/main?db=7", RedisPlace((("one", 5),), 7, service="main")),
    ],
)
def test_a_url_of_a_host_is_read(url, place):
    assert redis_place(url) == place


@each(
    ("url", "says"),
    [
        ("http://h", "must begin with"),
        ("h:6379", "must begin with"),
        ("", "must begin with"),
        ("redis+cluster://h", "must begin with"),
        ("redis://:pa#ss@h", "%23"),
        ("redis://:pa/ss@h", "percent-encoded"),
        ("redis://:pa?ss@h", "percent-encoded"),
        ("redis://h:port", "no number"),
        ("redis://h/main", "no number"),
        ("redis://one,two/0", "several hosts"),
        ("redis+sentinel://one,two", "service"),
        ("redis://:pa[ss@h", "%5B"),
        ("unix://", "no socket"),
        ("rediss://h?ssl_ca_certs=/not/there", "ssl_ca_certs"),
        ("rediss://h?ssl_certfile=/not/there", "ssl_certfile"),
        ("rediss://h?ssl_ca_path=/etc/ssl", "ssl_ca_path, which is not supported"),
        ("rediss://h?ssl_ciphers=x", "ssl_ciphers, which is not supported"),
    ],
)
def test_an_unusable_url_is_refused_in_a_sentence_without_its_password(url, says):
    with pytest.raises(ValueError) as refused:
        redis_place(url)
    assert says in str(refused.value)
    assert "ss@" not in str(refused.value)
    assert "pa" not in str(refused.value).replace("password", "").replace("database", "").replace("path", "")
