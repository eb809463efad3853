"""One long shift that asks for everything an app can ask for, once, and a check that nothing of the contract is left out."""

import asyncio
import http.client
import inspect
import re
import socket
import time
import urllib.parse
from pathlib import Path

import kieumau
import world
from kieumau import Dropped, ItemState, NewEvidence, NewPatrol, PhoneError, Rule, SyncOptions, Verdict
from world import JPEG, EnrolmentDesk, Heard, sidewalk

HERE = Path(__file__).parent
PLACE = kieumau.Position(lat=18.6734, lon=105.6813)
TEXT_ONLY = SyncOptions(tries=2, attachments=False)


def gpx(*points):
    """A track file of points (latitude, longitude, time or none)."""
    said = "".join(
        f'<trkpt lat="{lat}" lon="{lon}">' + (f"<time>{at}</time>" if at else "") + "</trkpt>" for lat, lon, at in points
    )
    head = '<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
    return f"{head}{said}</trkseg></trk></gpx>"


async def until(what, so):
    """Waits for what a worker of the server does in its own time."""
    for _ in range(240):
        if await so():
            return
        await asyncio.sleep(0.25)
    raise AssertionError(f"never came about: {what}")


class Chi:
    """The chief at the browser, as far as HTTP goes."""

    def __init__(self, url, person):
        self.url, self.host, self.cookie = url, urllib.parse.urlparse(url).netloc, ""
        answer = self.send("/sign-in", sign_in=person["sign_in"], password=person["password"])
        cookies = [value for name, value in answer.getheaders() if name.lower() == "set-cookie"]
        [session] = [cookie for cookie in cookies if cookie.startswith("__Host-")]
        self.cookie = session.split(";")[0]

    def ask(self, method, path, body=None):
        line = http.client.HTTPConnection(self.host, timeout=60)
        headers = {"Cookie": self.cookie, "Accept": "text/html", "Origin": self.url}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        line.request(method, path, body, headers)
        return line.getresponse()

    def send(self, path, **fields):
        return self.ask("POST", path, urllib.parse.urlencode(fields))

    def returns(self, patrol, remark):
        page = self.ask("GET", f"/patrols/{patrol}").read().decode()
        seen = page.split('name="seen_heads"')[1].split('value="')[1].split('"')[0]
        decided = {"decision": "returned", "seen_heads": seen, "field": "", "remark": remark}
        return self.send(f"/decisions/{patrol}", **decided).status


class EveryCall(world.ServerTest):
    """An, Hà and Chi of Trường Vinh."""

    async def enrolled(self, person):
        phone = await self.open(name=person)
        profile = await phone.enrol_by_qr(self.invitation(person)["qr"])
        self.assertEqual((profile.person_name, profile.server_url), (self.people[person]["name"], self.url))
        return phone

    async def test_a_shift_of_an_and_ha_asks_for_everything_once(self):
        an, ha = await self.enrolled("an"), await self.enrolled("ha")
        await self.learns_of_the_unit(an)
        patrol = await self.walks(an, ha)
        observation, photo, slip = await self.records(an, patrol)
        await self.files_evidence(an)
        await self.shares(an, ha, patrol, photo, slip)
        await self.disagrees(an, ha, patrol, observation)
        await self.lets_go_and_brings_back(an, patrol, photo)
        await self.is_decided_about(an, patrol)
        await self.follows(an, ha, patrol)
        await self.is_rescued(an, ha, patrol)
        del an
        await self.is_salvaged(patrol)

    async def learns_of_the_unit(self, an):
        self.assertEqual((await an.find_server(self.invitation("an")["qr"])).server_url, self.url)
        self.assertEqual((await an.colleagues(), await an.checkpoints()), ([], []))
        await an.sync(TEXT_ONLY)
        self.assertLess(abs(an.clock_skew_ms()), 60_000)
        self.assertIn("Hà", [colleague.name for colleague in await an.colleagues()])
        self.assertIn("Chợ Vinh", [checkpoint.name for checkpoint in await an.checkpoints()])
        self.assertEqual((await an.known_people(), await an.known_checkpoints()), (await an.colleagues(), await an.checkpoints()))
        self.assertEqual(await an.damages(), [])

    async def walks(self, an, ha):
        patrol = await an.start_patrol(NewPatrol(title="Ca đêm 21/11, tổ An"))
        self.assertEqual(await ha.join_patrol((await an.patrol(patrol)).join_qr), patrol)
        [joined] = [one for one in await ha.patrols() if one.patrol == patrol]
        self.assertFalse(joined.start_received, "An's phone has not synced")
        now_ms = int(time.time() * 1000)
        fix = kieumau.Fix(at_ms=now_ms, position=PLACE, accuracy_m=8.0)
        await an.pause(patrol)
        self.assertEqual(await an.add_fix(patrol, fix), Dropped.PAUSED)
        self.assertTrue((await an.patrol(patrol)).summary.paused)
        await an.resume(patrol)
        self.assertFalse((await an.patrol(patrol)).summary.paused)
        self.assertIsNone(await an.add_fix(patrol, fix))
        checkpoint = (await an.checkpoints())[0].checkpoint
        self.assertTrue(await an.visit_checkpoint(patrol, checkpoint, "gps"))
        watch = self.folder / "watch.gpx"
        watch.write_text(gpx((18.67, 105.68, "2026-11-21T20:00:00Z"), (18.6703, 105.68, "2026-11-21T20:00:30Z")))
        imported = await an.import_track(patrol, str(watch))
        self.assertEqual((imported.kept, imported.dropped), (2, {}))
        view = await an.patrol(patrol)
        self.assertEqual(view.visits, [checkpoint])
        tracks = sorted((track.file is not None, len(track.fixes)) for track in view.tracks)
        self.assertEqual(tracks, [(False, 1), (True, 2)])
        return patrol

    async def records(self, an, patrol):
        observation = await an.add_observation(patrol, sidewalk(position=PLACE))
        await an.edit_observation(patrol, observation, sidewalk(count=4))
        [seen] = await an.observations(patrol)
        self.assertEqual((seen.content.count, seen.content.position), (4, None), "a place left out is taken away")
        self.assertEqual(await what_it_says(self.photo()), (None, None, None))
        photo = await an.attach(patrol, None, self.photo())
        self.assertTrue((await an.attachment(photo)).on_phone)
        self.assertTrue(Path(await an.preview(photo)).read_bytes().startswith(b"\xff\xd8\xff"))
        mistaken = self.folder / "mistaken.jpg"
        mistaken.write_bytes(JPEG + b"\0")
        slip = await an.attach(patrol, observation, str(mistaken))
        hung = {one.sha256: one for one in (await an.patrol(patrol)).attachments}
        self.assertEqual((hung[photo].item, hung[slip].item), (None, observation))
        await an.withdraw_attachment(patrol, hung[slip].attachment)
        hung = {one.sha256: one.withdrawn_at_ms for one in (await an.patrol(patrol)).attachments}
        self.assertIsNone(hung[photo])
        self.assertIsNotNone(hung[slip])
        self.assertEqual((await an.observations(patrol))[0].attachments, [])
        again = an.withdraw_attachment(patrol, next(iter(await self.attachments(an, patrol, slip))))
        await self.assert_invalid("attachment", Rule.ALREADY, again)
        return observation, photo, slip

    @staticmethod
    async def attachments(phone, patrol, sha256):
        return [one.attachment for one in (await phone.patrol(patrol)).attachments if one.sha256 == sha256]

    async def files_evidence(self, an):
        period = kieumau.period_at(int(time.time() * 1000))
        # The sample ward has filed some already; what is no official document needs no heads.
        plain = {"photo", "list", "figures-table", "survey", "commitment"}
        missing = [(one.number, kind) for one in kieumau.catalogue().criteria for kind in await an.missing(one.number, period)]
        [(criterion, kind), *_] = [(number, kind) for number, kind in missing if kind in plain]
        new = NewEvidence(evidence_kind=kind, summary="Trụ sở trước sửa chữa")
        filed = await an.file_evidence(criterion, period, new)
        new.summary = "Trụ sở sau sửa chữa"
        await an.edit_evidence(filed.document, filed.evidence, new)
        self.assertNotIn(kind, await an.missing(criterion, period))
        [file] = [one for one in await an.evidence() if one.document == filed.document]
        self.assertIn(new.summary, [one.content.summary for one in file.items])

    async def shares(self, an, ha, patrol, photo, slip):
        [hà] = [one.person for one in await an.colleagues() if one.name == "Hà"]
        handover = await an.hand_over(patrol, hà, "Còn một xe tạm giữ")
        await an.sync()
        self.assertEqual(await self.state(an, patrol), ItemState.RECEIVED)
        self.assertEqual(await an.refused(patrol), [])
        with self.assertRaises(PhoneError.NotFound):
            await an.write_again(patrol, "00" * 32)

        async def arrived():
            await ha.sync()
            return any(one.patrol == patrol and one.start_received for one in await ha.patrols())

        await until("the start is on Hà's phone", arrived)
        await ha.confirm_handover(patrol, handover)
        [taken] = (await ha.patrol(patrol)).handovers
        self.assertIsNotNone(taken.confirmed_at_ms)
        with self.assertRaises(PhoneError.NotFound):
            await ha.viewable(photo)

        async def brought():
            try:
                return (await ha.download(photo)).on_phone
            except PhoneError.NotFound:
                return False

        await until("Hà may fetch An's photo", brought)
        self.assertEqual(Path(await ha.viewable(photo)).read_bytes(), JPEG)
        with self.assertRaises(PhoneError.NotFound):
            await ha.download(slip)

    async def disagrees(self, an, ha, patrol, observation):
        await an.edit_observation(patrol, observation, sidewalk(count=4, note="Đã dẹp"))
        await ha.edit_observation(patrol, observation, sidewalk(count=4, note="Chưa dẹp"))

        async def clashes():
            await an.sync()
            await ha.sync()
            return await an.clash(patrol)

        await until("both values are on An's phone", clashes)
        [clash] = await an.clash(patrol)
        texts = [value.text for value in clash.values]
        self.assertEqual(sorted(texts), ["Chưa dẹp", "Đã dẹp"])
        self.assertTrue(await an.choose(patrol, clash.path, texts.index("Đã dẹp")))
        self.assertEqual(await an.clash(patrol), [])
        self.assertFalse(await an.choose(patrol, clash.path, 0))
        self.assertEqual((await an.observations(patrol))[0].content.note, "Đã dẹp")

    async def lets_go_and_brings_back(self, an, patrol, photo):
        await an.sync()
        self.assertEqual(await an.let_go(0), [], "no backup holds it yet")
        leaves = self.said("backed-up").splitlines()[0].rsplit(", ")[-1].split()[0]
        self.said("backed-up", "--through", leaves)
        # The word comes with the next answer to a push, of another patrol: this one's receipt is to be below the backup.
        await an.start_patrol(NewPatrol(title="Ca sau khi sao lưu"))
        await an.sync()
        self.assertIn(photo, await an.let_go(0))
        with self.assertRaises(PhoneError.NotFound):
            await an.viewable(photo)
        self.assertTrue((await an.download(photo)).on_phone)
        self.assertEqual(Path(await an.viewable(photo)).read_bytes(), JPEG)

    async def is_decided_about(self, an, patrol):
        await an.end(patrol)
        await an.sync()
        chi = Chi(self.url, self.people["chi"])

        async def decided():
            # Refused while the server has not read the newest change.
            return chi.returns(patrol, "Ghi rõ địa điểm") in (302, 303)

        await until("Chi returns the patrol", decided)

        async def heard():
            await an.sync()
            return [one for one in await an.reviews() if one.document == patrol]

        await until("the decision is on An's phone", heard)
        [review] = await heard()
        self.assertEqual((review.decided.verdict, review.decided.remark), (Verdict.RETURNED, "Ghi rõ địa điểm"))
        self.assertIn(patrol, [item.document for item in await an.items(ItemState.RETURNED)])

    async def follows(self, an, ha, patrol):
        heard = Heard()
        await ha.listen(heard)
        following = asyncio.create_task(ha.follow())
        await an.add_observation(patrol, sidewalk(note="Hà đang xem"))
        await an.sync()

        async def seen():
            return "Hà đang xem" in [one.content.note for one in await ha.observations(patrol)]

        await until("what An sent comes to Hà by itself", seen)
        ha.unfollow()
        self.assertIsNone(await asyncio.wait_for(following, 30))
        self.assertTrue(any(event.is_CHANGED() for event in heard.events))

    async def is_rescued(self, an, ha, patrol):
        await an.add_observation(patrol, sidewalk(note="Máy sắp hỏng"))
        path = str(self.folder / "an.rescue")
        report = await an.export_rescue(path)
        self.assertGreaterEqual(report.changes, 1)
        self.assertEqual((report.fixes_left, report.files_left), (0, 0))
        taken = await ha.deliver_rescue(path)
        self.assertGreaterEqual(taken.changes_taken, 1)
        self.assertEqual(taken.quarantined, {})

    async def is_salvaged(self, patrol):
        an = await kieumau.Phone.salvage(self.config(name="an"))
        self.assertEqual((await an.profile()).person_name, "An")
        [damage] = await an.damages()
        self.assertTrue((self.folder / "an" / damage.set_aside).exists())
        self.assertIn("Máy sắp hỏng", [one.content.note for one in await an.observations(patrol)])


async def what_it_says(path):
    facts = kieumau.photo_facts(path)
    return facts.position, facts.taken_at, facts.gps_at_ms


class OfflineCalls(world.PhoneTest):
    """What needs no server."""

    async def test_a_sync_that_is_cancelled_answers_with_what_it_did(self):
        phone = await self.open()
        with EnrolmentDesk() as url:
            await phone.enrol(url, "ABCDE-FGH12")
        # Where the server was, somebody takes the call and says nothing.
        port = int(url.rsplit(":", 1)[1])
        with socket.create_server(("127.0.0.1", port), reuse_port=False):
            syncing = asyncio.create_task(phone.sync())
            while not syncing.done():
                await asyncio.sleep(0.05)
                phone.cancel()
            self.assertTrue((await syncing).cancelled)

    async def test_a_bad_track_file_says_its_rule_and_leaves_the_patrol_as_it_was(self):
        phone = await self.enrolled_at_a_desk()
        patrol = await phone.start_patrol(NewPatrol(title="Ca đêm"))
        self.assertIsNone(await phone.add_fix(patrol, kieumau.Fix(at_ms=int(time.time() * 1000), position=PLACE, accuracy_m=8.0)))
        before = await phone.patrol(patrol)
        then = "2026-11-21T20:00:00Z"
        for rule, text in (
            (Rule.EMPTY, ""),
            (Rule.UNREADABLE, "Đây không phải lộ trình"),
            (Rule.WRONG_KIND, "<html><body>Đăng nhập Wi-Fi</body></html>"),
            (Rule.EMPTY, gpx()),
            (Rule.WITHOUT_TIMES, gpx((18.67, 105.68, None), (18.6703, 105.68, None))),
            (Rule.OUT_OF_TIME, gpx((18.67, 105.68, "1999-12-31T23:59:59Z"))),
            (Rule.OFF_THE_MAP, gpx((0, 0, then))),
        ):
            with self.subTest(rule=rule, text=text[:40]):
                path = self.folder / "bad.gpx"
                path.write_text(text)
                await self.assert_invalid("track", rule, phone.import_track(patrol, str(path)))
                self.assertEqual(await phone.patrol(patrol), before)
        with self.assertRaises(PhoneError.NotFound):
            await phone.import_track(patrol, str(self.folder / "none.gpx"))

    async def test_a_jump_in_a_track_file_is_left_out_and_said(self):
        phone = await self.enrolled_at_a_desk()
        patrol = await phone.start_patrol(NewPatrol(title="Ca đêm"))
        path = self.folder / "jump.gpx"
        path.write_text(
            gpx(
                (18.67, 105.68, "2026-11-21T20:00:00Z"),
                (19.67, 105.68, "2026-11-21T20:00:10Z"),
                (18.6703, 105.68, "2026-11-21T20:00:20Z"),
            )
        )
        imported = await phone.import_track(patrol, str(path))
        self.assertEqual((imported.kept, imported.dropped), (2, {Dropped.IMPOSSIBLE_SPEED: 1}))


class TheContract(world.PhoneTest):
    """Nothing of it is without a test."""

    def test_every_call_of_the_contract_is_made_in_these_tests(self):
        tests = "".join(path.read_text() for path in HERE.glob("*.py"))
        calls = [name for name in vars(kieumau.Phone) if not name.startswith("_")]
        calls += [name for name in kieumau.__all__ if inspect.isfunction(getattr(kieumau, name))]
        self.assertGreater(len(calls), 50)
        self.assertEqual([name for name in calls if f".{name}(" not in tests], [])

    def test_every_call_of_the_apps_store_is_made_in_its_tests(self):
        kotlin = HERE.parent.parent / "mobile-demo" / "src"
        [store] = kotlin.rglob("PhoneStore.kt")
        calls = re.findall(r"^ +(?:suspend )?fun (\w+)", store.read_text(), re.MULTILINE)
        tests = "".join(path.read_text() for path in (kotlin / "test").rglob("*.kt"))
        self.assertGreater(len(calls), 40)
        # Kotlin closes the store at the end of `use`.
        self.assertEqual([name for name in calls if f".{name}(" not in tests and name != "close"], [])
