"""The pages as a person without script uses them."""

import re
from pathlib import Path

import pytest

from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.web.pages import sessions_page
from tests.factories import make_session
from tests.storyboard.conftest import Orders, Visitor, visiting
from tests.storyboard.stories import failed, stored, with_job

AD = "/sessions/ad"
KEY = "studio-key-0123456789"


def test_an_empty_storage_says_what_to_do(records: Records, orders: Orders) -> None:
    with visiting(orders) as client:
        page = Visitor(client).read("/")
    assert "Your first ad starts with four scenes" in page.text
    assert {"class": "button", "href": "/new"} in page.all("a")


def test_the_sessions_show_posters_states_and_cost(visitor: Visitor, records: Records) -> None:
    for scenario in Scenario:
        stored(records, scenario)
    records.save_session(make_session(session_id="blank", product_name="Nothing yet"))
    page = visitor.read("/")
    assert page.text.count("Completed 4 clips") == 1
    assert "Cost $0.44" in page.text
    assert "Nothing bought yet" in page.text
    assert "4 clips" in page.text
    [poster] = [image["src"] for image in page.all("img") if image["src"].startswith("/outputs/")]
    assert re.fullmatch(r"/outputs/ad_hook_[0-9a-f]{8}\.jpg", poster)
    assert {"/new?from=ad", "/new?from=blank"} <= {link["href"] for link in page.all("a")}


def test_a_session_that_cannot_be_read_is_named_and_hides_no_other(records: Records, orders: Orders) -> None:
    records.save_session(make_session())
    records.storage.write("sessions/broken/session.json", b"{")
    with visiting(orders) as client:
        text = Visitor(client).read("/").text
    assert "broken/session.json is not a valid record" in text
    assert "Lamp" in text


def test_the_sessions_are_paged(visitor: Visitor, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_page, "PER_PAGE", 12)
    for number in range(14):
        records.save_session(make_session(session_id=f"many-{number:02}"))
    first = visitor.read("/")
    links = [link["href"] for link in first.all("a") if link.get("rel") == "next"]
    rest = visitor.read(links[0])
    ids = [link["href"] for page in (first, rest) for link in page.all("a") if link.get("class") == "session"]
    assert ids == [*(f"/sessions/many-{number:02}" for number in reversed(range(14))), AD]
    [back] = [link["href"] for link in rest.all("a") if link.get("rel") == "prev"]
    assert visitor.read(back).text == first.text


def test_the_sessions_are_searched_and_filtered_without_script(
    visitor: Visitor, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_page, "PER_PAGE", 12)
    stored(records, Scenario.HOOK)
    for number in range(14):
        records.save_session(make_session(session_id=f"tent-{number:02}", product_name="Tent"), campaign="Spring & co")
    page = visitor.read("/")
    assert page.form("/", "Search").fields == {"q": "", "state": "", "sort": "-created"}
    assert "15 ads" in page.text
    assert page.by_id("state-partial")["href"] == "/?state=partial"
    found = visitor.read("/?q=tent&state=new&sort=id")
    assert found.form("/", "Search").fields == {"q": "tent", "state": "new", "sort": "id"}
    assert found.by_id("state-all")["href"] == "/?q=tent&sort=id"
    [link] = [link["href"] for link in found.all("a") if link.get("rel") == "next"]
    assert link.startswith("/?q=tent&state=new&sort=id&after=")
    ids = [each["href"] for each in visitor.read(link).all("a") if each.get("class") == "session"]
    assert ids == ["/sessions/tent-12", "/sessions/tent-13"]

    of_campaign = visitor.read(found.by_id("campaign-tent-00")["href"])
    assert "14 ads of the campaign Spring & co" in of_campaign.text
    assert of_campaign.form("/", "Search").fields["campaign"] == "Spring & co"
    nothing = visitor.read("/?campaign=Spring+%26+co&state=failed&q=tent")
    assert "No ad matches" in nothing.text
    assert {"/", "/?q=tent&campaign=Spring+%26+co"} <= {link["href"] for link in nothing.all("a")}


def test_a_new_session_is_made_once_however_often_the_form_is_sent(visitor: Visitor, records: Records) -> None:
    form = visitor.read("/new").form("/new", "Create the ad")
    words = {f"{each}.visual_description": f"a {each}\r\nin two lines" for each in Scenario}
    typed = {"product_name": "Tent", "brand_colors": "red, #fff", "hook.seed": "7", **words}
    for _ in range(2):
        page = visitor.press(form, "Create the ad", **typed)
    made = [each for each in records.session_ids() if each != "ad"]
    assert len(made) == 1
    session = records.session(made[0])
    assert (session.brand_colors, session.scene(Scenario.HOOK).seed) == (["red", "#fff"], 7)
    assert session.scene(Scenario.CTA).visual_description == "a cta\nin two lines"
    assert "Generate the 4 clips" in page.form(f"/sessions/{made[0]}/generate", "Generate the 4 clips").buttons


def test_a_wrong_form_comes_back_with_its_words_and_the_errors_beside_their_fields(visitor: Visitor) -> None:
    form = visitor.read("/new").form("/new", "Create the ad")
    typed = {"category": "kept", "session_id": "no/good", "hook.duration": "x", "hook.seed": "1.5", "cta.size": "big"}
    page = visitor.press(form, "Create the ad", 422, **typed)
    sent = page.form("/new", "Create the ad").fields
    assert {name: sent[name] for name in typed} == typed
    inputs = [*page.all("input"), *page.all("select")]
    wrong = {each["id"]: each["aria-describedby"].split()[0] for each in inputs if "aria-invalid" in each}
    assert wrong == {
        name: f"{name}-wrong" for name in ("product_name", "session_id", "hook-duration", "hook-seed", "cta-size")
    }
    for words in ("Please enter a number.", "Please enter a whole number.", "Use WIDTHxHEIGHT", "Letters, digits"):
        assert words in page.text


def test_what_a_model_does_not_offer_is_told_at_its_scene(visitor: Visitor) -> None:
    form = visitor.read("/new").form("/new", "Create the ad")
    typed = {f"{each}.visual_description": "a lamp" for each in Scenario}
    wrong = {"solution.aspect": "4:5", "model": "klingai:kling-video@3-pro", "cta.duration": "60"}
    page = visitor.press(form, "Create the ad", 422, product_name="Lamp", **typed, **wrong)
    assert [each["id"] for kind in ("select", "input") for each in page.all(kind) if "aria-invalid" in each] == [
        "solution-aspect",
        "cta-duration",
    ]
    assert "aspect 4:5 is not offered by Kling VIDEO 3.0 Pro" in page.text
    assert "duration 60 is not offered by Kling VIDEO 3.0 Pro" in page.text
    sent = page.form("/new", "Create the ad").fields
    assert {name: sent[name] for name in wrong} == wrong


def test_an_id_that_is_taken_is_told_at_its_field(visitor: Visitor) -> None:
    form = visitor.read("/new").form("/new", "Create the ad")
    typed = {f"{each}.visual_description": "a lamp" for each in Scenario}
    page = visitor.press(form, "Create the ad", 409, product_name="Lamp", session_id="ad", **typed)
    assert "exists already" in page.text
    assert "aria-invalid" in page.by_id("session_id")


def test_what_people_write_is_text(visitor: Visitor, records: Records) -> None:
    attack = "</textarea><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7777 * 7777 }}"
    session = make_session(product_name=attack, main_benefit=attack, website_url="javascript:alert(1)")
    session.scene_descriptions[0].visual_description = attack
    session.scene_descriptions[1].camera_work = attack
    records.save_session(session)
    with_job(records)
    failed(records, Scenario.HOOK, attack)
    for path in ("/", AD):
        page = visitor.read(path)
        assert all(script["src"].startswith("/static/") for script in page.all("script"))
        assert not [image for image in page.all("img") if image["src"] == "x"]
        assert not [link for link in page.all("a") if link["href"].startswith("javascript")]
        assert attack in page.text
        assert "60481729" not in page.text
    assert page.form(f"{AD}/scenes/hook", "Save").fields["visual_description"] == attack


@pytest.mark.parametrize("path", ["/", "/new", AD, "/sessions/nothing"])
def test_every_page_needs_no_script_and_nothing_from_other_hosts(visitor: Visitor, path: str) -> None:
    answer = visitor.client.get(path)
    assert "'unsafe-inline'" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert " style=" not in answer.text
    assert not re.search(r"""\son[a-z]+=|(src|href|action)=["']?(https?:)?//""", answer.text)
    page = visitor.read(path, answer.status_code)
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert not [tag for tag, attributes in page.tags if tag in {"a", "button"} and "tabindex" in attributes]


def test_every_field_has_a_label_and_every_id_is_used_once(visitor: Visitor, records: Records) -> None:
    with_job(records)
    for scenario in Scenario:
        stored(records, scenario)
        stored(records, scenario, "job-2", minute=1)
    for path in ("/new", AD):
        page = visitor.read(path)
        labelled = {label["for"] for label in page.all("label")}
        typed = [
            each for kind in ("input", "textarea", "select") for each in page.all(kind) if each.get("type") != "hidden"
        ]
        assert {each["id"] for each in typed} == labelled
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        typed += page.all("fieldset")
        assert {name for each in typed for name in each.get("aria-describedby", "").split()} <= set(ids)


def test_a_session_that_does_not_exist_has_a_page_that_says_so(visitor: Visitor) -> None:
    assert "There is no such ad." in visitor.read("/sessions/nothing", 404).text
    assert "Not possible" in visitor.read("/sessions/no.id", 422).text


def test_forged_forms_are_refused(records: Records, orders: Orders) -> None:
    records.save_session(make_session())
    with visiting(orders) as client:
        form = Visitor(client).read(AD).form(f"{AD}/generate", "Generate the 4 clips")
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert client.post(form.action, data=form.fields, headers=headers).status_code == 403
    assert orders.parameters == []


def test_with_keys_a_person_signs_in_and_out(records: Records, orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    records.save_session(make_session())
    monkeypatch.setenv("ADREEL_API_KEYS", f"studio:{KEY}")
    with visiting(orders) as client:
        visitor, own = Visitor(client), {"Origin": str(client.base_url)}
        asked = visitor.read(AD)
        form = asked.form("/sign-in", "Sign in")
        assert client.post(form.action, data=form.fields | {"key": "wrong"}, headers=own).status_code == 403
        answer = client.post(form.action, data=form.fields | {"key": KEY}, headers=own)
        assert answer.url.path == AD
        page = visitor.read(AD)
        assert "studio" in page.text
        generate = page.form(f"{AD}/generate", "Generate the 4 clips")
        assert client.post(generate.action, data=generate.fields).status_code == 403
        client.post(page.form("/sign-out", "Sign out").action, headers=own)
        assert "Your key" in visitor.read(AD).text
    assert orders.parameters == []


def test_static_files_may_be_kept_by_their_version_alone(visitor: Visitor) -> None:
    address = visitor.read("/").all("script")[0]["src"]
    answer = visitor.client.get(address)
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"].startswith("text/javascript")
    plain = visitor.client.get(address.partition("?")[0])
    assert plain.headers["Cache-Control"] == "no-cache"
    again = visitor.client.get(address, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert visitor.client.get("/static/..%2fpages.py").status_code == 404
    assert visitor.client.get("/static/nothing.css").status_code == 404


def test_the_templates_and_static_files_lie_in_the_package() -> None:
    import adreel.web.pages

    folder = Path(adreel.web.pages.__file__).parent
    assert {path.suffix for path in (folder / "static").iterdir()} == {".css", ".js", ".svg"}
    assert (folder / "templates" / "session.html").is_file()
