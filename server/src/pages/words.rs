//! Every sentence of the pages, once in each language and beside its translation. A text that one language lacks does not
//! compile, and one that no page uses is a warning.

use kieumau_core::{
    invalid::{Invalid, Rule},
    person::Role,
};

macro_rules! words {
    ($($name:ident: $vietnamese:literal, $english:literal;)+) => {
        /// The sentences of one language.
        #[derive(Debug)]
        pub struct Words {$(
            #[doc = $english]
            pub $name: &'static str,
        )+}

        /// Tiếng Việt.
        pub static VIETNAMESE: Words = Words { $($name: $vietnamese,)+ };
        /// English.
        pub static ENGLISH: Words = Words { $($name: $english,)+ };
    };
}

words! {
    product: "Kiểu Mẫu", "Kiểu Mẫu";
    purpose: "Nhật ký tuần tra và minh chứng tiêu chí của Công an phường", "Patrol logs and evidence of ward police";
    skip: "Đến nội dung chính", "Skip to the content";
    sections: "Các phần", "Sections";
    sample: "DỮ LIỆU MẪU", "SAMPLE DATA";
    sample_says: "Đơn vị, con người và ca tuần tra ở đây đều là hư cấu.", "The unit, the people and the patrols here are invented.";
    other_language: "English", "Tiếng Việt";
    sign_out: "Đăng xuất", "Sign out";
    licences: "Giấy phép phần mềm", "Software licences";
    placeholder: "Bộ tiêu chí tạm thời", "Placeholder catalogue";
    placeholder_says: "22 tiêu chí này không phải văn bản chính thức; số và tên sẽ thay khi có bộ tiêu chí chính thức.",
        "These 22 criteria are not official; numbers and titles will change when the official catalogue is loaded.";

    sign_in: "Đăng nhập", "Sign in";
    sign_in_name: "Tên đăng nhập", "Sign-in name";
    password: "Mật khẩu", "Password";
    sign_in_refused: "Tên đăng nhập hoặc mật khẩu không đúng.", "Unknown name or wrong password.";
    sign_in_again_at: "Đã thử quá nhiều lần. Có thể thử lại sau", "Too many attempts. Try again after";
    sign_in_help: "Quên mật khẩu? Quản trị của đơn vị đặt lại được.", "Forgot the password? Your administrator can set a new one.";

    dossiers: "Hồ sơ", "Dossiers";
    dossier: "Hồ sơ", "Dossier";
    dossier_take: "Tải hồ sơ", "Download the dossier";
    dossier_says: "Một tệp gồm nội dung, ảnh, quyết định và bằng chứng từ sổ nhận của máy chủ. Người nhận tự kiểm tra được, không cần mạng hay máy chủ này, rằng từ khi máy chủ nhận không có gì bị sửa:",
        "One file with the content, photos, decisions and proofs from the server's log. Whoever gets it can check, without a network or this server, that nothing was altered since it was received:";
    dossier_file: "TỆP", "FILE";
    dossier_key_says: "Dãy cuối là dấu vân tay khóa của máy chủ này. Báo cho người nhận bằng đường khác với tệp, như công văn hay điện thoại, để họ đối chiếu.",
        "The last part is the fingerprint of this server's key. Tell it to the receiver by another way than the file, a letter or a call, so that they compare.";
    dossier_kept_back: "Trong này có phần chỉ chỉ huy được đọc: đã rút lại, bị giữ lại hoặc chưa kiểm tra. Vì vậy chỉ chỉ huy tải được hồ sơ.",
        "Something in it is for the chief alone: withdrawn, withheld or not checked yet. So only the chief can download the dossier.";
    dossier_of_period: "Hồ sơ của cả kỳ", "Dossier of the whole period";
    dossier_of_period_says: "Mọi minh chứng của kỳ và mọi ca tuần tra bắt đầu trong kỳ.", "All evidence of the period, and all patrols that began in it.";
    no_dossiers: "Chưa có hồ sơ nào được nộp", "No dossier has been submitted";
    no_dossiers_says: "Hồ sơ hiện ở đây khi một phường nộp tự đánh giá của kỳ. Trước đó cấp tỉnh không đọc nội dung của phường.",
        "A dossier appears here when a ward submits its self-assessment. Until then the province does not read a ward's content.";

    patrols: "Ca tuần tra", "Patrols";
    patrol: "Ca", "Patrol";
    unit: "Đơn vị", "Unit";
    all_units: "Mọi đơn vị", "All units";
    from: "Từ ngày", "From";
    to: "Đến ngày", "To";
    state: "Trạng thái", "State";
    narrow: "Lọc", "Filter";
    clear: "Bỏ lọc", "Clear";
    started: "Bắt đầu", "Started";
    start_missing: "Chưa nhận được phần bắt đầu ca", "Start not received yet";
    lasted: "Thời lượng", "Lasted";
    leader: "Tổ trưởng", "Leader";
    length: "Quãng đường", "Length";
    observations: "Vụ việc", "Observations";
    observation: "Vụ việc", "Observation";
    photos: "Ảnh, tệp", "Photos, files";
    photos_short: "Ảnh", "Photos";
    visits: "Điểm chốt", "Checkpoints";
    handovers: "Bàn giao ca", "Handovers";
    handed_over_by: "Người giao", "Handed over by";
    taken_over_by: "Người nhận", "Taken over by";
    confirmed_at: "Đã xác nhận", "Confirmed";
    not_confirmed: "Chưa xác nhận", "Not confirmed";
    review: "Duyệt", "Review";
    going_on: "Đang đi", "Going on";
    ended: "Đã kết thúc", "Ended";
    unreviewed: "Chưa duyệt", "Not reviewed";
    again: "Cần duyệt lại", "Review again";
    returned: "Bị trả lại", "Returned";
    approved: "Đã duyệt", "Approved";
    all_states: "Tất cả", "All";
    no_patrols: "Chưa có ca tuần tra nào", "No patrol yet";
    no_patrols_says: "Ca do cán bộ ghi trên điện thoại và hiện ở đây sau khi máy của họ gửi được lên máy chủ. Cấp mã cho điện thoại ở phần Thiết bị.",
        "Officers record patrols on their phones; each appears here once its phone has reached the server. Issue phones a code under Phones.";
    nothing_found: "Không có gì khớp với bộ lọc", "Nothing matches the filter";
    nothing_found_says: "Bỏ bớt điều kiện lọc để xem nhiều hơn.", "Clear the filter to see more.";
    next_page: "Trang sau", "Next page";
    first_page: "Về đầu danh sách", "Back to the start";
    keys_list: "xuống, lên · mở", "down, up · open";
    list_region: "Danh sách", "List";

    facts: "Thông tin ca", "Facts";
    started_by: "Người mở ca", "Started by";
    ended_at: "Kết thúc", "Ended";
    team: "Tổ", "Team";
    forces: "Lực lượng", "Forces";
    vehicles: "Phương tiện", "Vehicles";
    fixes: "điểm định vị", "position fixes";
    accuracy_unknown: "Không rõ độ chính xác của lộ trình", "How exact the track is was not said";
    imported: "Lộ trình nhập từ tệp lúc", "Track imported from a file at";
    pauses: "Tạm nghỉ", "Pauses";
    no_pauses: "Không tạm nghỉ", "None";
    still: "chưa hết", "still on";
    not_said: "Không ghi", "Not said";
    map: "Bản đồ lộ trình", "Map of the track";
    map_keys: "Bản đồ; phím mũi tên để di chuyển, + và − để phóng", "Map; arrow keys move it, + and − zoom";
    map_without: "Trình duyệt này không vẽ được bản đồ. Các bảng bên dưới nói đủ cùng nội dung.",
        "This browser cannot draw the map. The tables below say the same.";
    no_map: "Ca này không có lộ trình và không vụ việc nào có vị trí.", "This patrol has no track, and no observation has a place.";
    track: "Lộ trình", "Track";
    gap: "Mất tín hiệu hoặc tạm nghỉ", "No signal, or a pause";
    track_table: "Các đoạn lộ trình", "Pieces of the track";
    zoom_in: "Phóng to", "Zoom in";
    zoom_out: "Thu nhỏ", "Zoom out";
    close: "Đóng", "Close";
    time: "Thời gian", "Time";
    category: "Loại, nội dung", "Category, note";
    count: "Số lượng", "Count";
    done: "Xử lý", "Done about it";
    recorded_at: "ghi lúc", "recorded";
    edited_by: "sửa bởi", "edited by";
    withdrawn: "Đã rút lại", "Withdrawn";
    no_place: "không có vị trí", "no place";
    no_observations: "Ca này không ghi vụ việc nào.", "Nothing was recorded on this patrol.";
    fined: "Phạt", "Fined";
    exhibits_held: "Tang vật tạm giữ", "Exhibits held";
    vehicles_held: "Xe tạm giữ", "Vehicles held";
    record_number: "Biên bản", "Written record";
    handed_over_to: "Bàn giao cho", "Handed over to";
    who: "Ai", "Who";
    proof: "Xác nhận bằng", "Shown by";
    no_visits: "Không ghi điểm chốt nào.", "No checkpoint was recorded.";
    photo_of_patrol: "Ảnh, tệp của cả ca", "Photos and files of the whole patrol";
    photo_waits: "Đang chờ ảnh từ thiết bị", "Waiting for the phone to send it";
    photo_small_waits: "Đang tạo ảnh nhỏ", "Small picture is being made";
    photo_preview: "Bản xem trước, ảnh gốc còn trên thiết bị", "Preview; the photo itself is still on the phone";
    open_file: "Mở tệp", "Open the file";
    live_changed: "Có thay đổi mới.", "Something changed.";
    live_reload: "Tải lại", "Reload";
    photo: "Ảnh", "Photo";

    writing: "Ai ghi gì, khi nào", "Who wrote what, when";
    writer: "Người ghi", "Writer";
    changes: "Thay đổi", "Changes";
    written: "Ghi lúc (đồng hồ thiết bị)", "Written (phone's clock)";
    received_at: "Nhận lúc (đồng hồ máy chủ)", "Received (server's clock)";
    apart: "Chênh lệch", "Apart";
    clock_ahead: "Đồng hồ thiết bị nhanh", "Phone's clock is ahead by";
    waited: "Nhận sau khi ghi", "Received later by";
    the_server: "Máy chủ", "The server";
    log: "Sổ nhận của máy chủ", "The server's log";
    log_received: "Đã nhận vào sổ", "Received into the log";
    log_checked: "Đã kiểm tra", "Checked";
    log_unchecked: "Đang kiểm tra", "Being checked";
    log_withheld: "Giữ lại vì không đọc được an toàn", "Withheld: not safe to read";
    log_waiting: "Chờ phần đến trước", "Waiting for an earlier part";
    log_leaves: "Vị trí trong sổ", "Positions in the log";
    withheld: "giữ lại", "withheld";
    clashes: "Hai thiết bị ghi khác nhau", "Two phones say different things";
    clashes_say: "Cả hai giá trị đều được giữ. Trả lại ca để tổ chọn một.", "Both values are kept. Return it so that the team picks one.";

    decisions: "Quyết định", "Decisions";
    no_decisions: "Chưa có quyết định nào.", "Nothing was decided yet.";
    approve: "Duyệt", "Approve";
    return_it: "Trả lại", "Return";
    remark: "Ý kiến (bắt buộc khi trả lại)", "Remark (needed to return)";
    remark_about: "Về phần", "About";
    the_whole: "Toàn bộ", "The whole";
    about: "Về", "About";
    take_back: "Rút lại quyết định này", "Take this decision back";
    taken_back: "đã rút lại", "taken back";
    changed_meanwhile: "Nội dung đã thay đổi sau khi bạn mở trang. Quyết định chưa được ghi.",
        "It was changed after you opened the page. Your decision was not written.";
    differs: "Khác với bản bạn đã xem:", "Unlike what you saw:";
    newly: " mới", ", new";
    place: "Vị trí", "Place";
    until: "Đến lúc", "Until";
    came_in_since: "Mới nhận từ lúc đó:", "Received since then:";
    decide_again: "Trang này đã là bản mới nhất. Xem lại rồi quyết định lần nữa; ý kiến bạn gõ vẫn còn.",
        "This page now shows the newest. Look again and decide once more; what you typed is still there.";
    changed_by: "thay đổi của", "changes by";
    keys_decide: "đến nút Duyệt · đến ô ý kiến", "to Approve · to the remark";
    print: "In trang này", "Print";

    evidence: "Tiêu chí, minh chứng", "Criteria, evidence";
    period: "Kỳ đánh giá", "Period";
    criterion: "Tiêu chí", "Criterion";
    all_criteria: "Cả 22 tiêu chí", "All 22 criteria";
    items: "Minh chứng", "Items";
    missing: "Còn thiếu", "Missing";
    nothing_missing: "Đủ loại bắt buộc", "All required kinds";
    no_evidence: "Chưa có", "None yet";
    criteria_with_evidence: "tiêu chí đã có minh chứng", "criteria have evidence";
    document_number: "Số, ký hiệu", "Number";
    issued_on: "Ngày ban hành", "Issued on";
    issued_by: "Cơ quan ban hành", "Issued by";
    signed_by: "Người ký", "Signed by";
    summary: "Trích yếu", "Summary";
    no_attachments: "Không có tệp đính kèm.", "No file is attached.";
    file_attachments: "Tệp của cả hồ sơ", "Files of the whole";

    phones: "Thiết bị", "Phones";
    phone: "Thiết bị", "Phone";
    person: "Cán bộ", "Person";
    version: "Phiên bản", "Version";
    enrolled: "Đăng ký ngày", "Enrolled";
    last_seen: "Lần cuối liên lạc", "Last seen";
    never_seen: "Chưa liên lạc", "Never";
    silent: "im lặng", "silent for";
    in_use: "Đang dùng", "In use";
    revoked: "Đã thu hồi", "Revoked";
    revoke: "Thu hồi", "Revoke";
    revoke_question: "Thu hồi vĩnh viễn thiết bị", "Revoke for ever the phone";
    no_phones: "Chưa có thiết bị nào", "No phone yet";
    no_phones_says: "Chọn một cán bộ và cấp mã; quét mã bằng ứng dụng trên điện thoại của họ.",
        "Choose a person and issue a code; scan it with the app on their phone.";
    new_code: "Cấp mã cho thiết bị mới", "Code for a new phone";
    issue_code: "Cấp mã", "Issue a code";
    code_for: "Mã cho thiết bị của", "Code for a phone of";
    code_todo: "Mở ứng dụng Kiểu Mẫu trên điện thoại, chọn Quét mã, đưa máy ảnh vào hình bên. Không quét được thì gõ mã này:",
        "Open Kiểu Mẫu on the phone, choose Scan, and point it at the picture. If that fails, type this code:";
    code_address: "Địa chỉ máy chủ", "The server's address";
    code_left: "Còn hiệu lực", "Valid for";
    code_over: "đã hết hạn", "expired";
    code_once: "Mã dùng một lần, chỉ hiện trên trang này. Rời trang là không xem lại được.",
        "The code works once and is only on this page. It cannot be seen again.";
    valid_until: "đến", "until";

    rescue: "Nộp tệp cứu hộ", "Hand in a rescue file";
    rescue_says: "Tệp cứu hộ chứa những gì một điện thoại đã ghi mà máy chủ chưa nhận, khi máy hỏng, bị thu hồi hay không có mạng. Chỉ máy chủ này đọc được tệp. Nộp hai lần không ghi trùng.",
        "A rescue file holds what a phone recorded and the server has not received, when the phone is broken, revoked or without a line. Only this server can read it. Handing it in twice doubles nothing.";
    rescue_file: "Tệp cứu hộ, tối đa 2 GiB", "Rescue file, at most 2 GiB";
    rescue_send: "Nộp tệp", "Hand in";
    rescue_sending: "Đang nộp", "Sending";
    rescue_reading: "Máy chủ đang đọc tệp…", "The server is reading the file…";
    rescue_line_lost: "Mất kết nối khi đang nộp. Tệp vẫn còn nguyên: nộp lại.", "The line broke. The file is intact: hand it in again.";
    rescue_done: "Đã đọc hết tệp", "The file was read to its end";
    rescue_nothing_new: "Không có gì mới: máy chủ đã giữ mọi thứ trong tệp.", "Nothing new: the server held all of it.";
    rescue_refused: "Không nhận tệp này", "The file is not taken";
    rescue_taken: "Thay đổi mới nhận", "Changes taken";
    rescue_held: "Thay đổi đã có từ trước", "Changes held before";
    rescue_waiting: "Thay đổi chờ phần trước đó", "Changes that wait for an earlier one";
    rescue_files_taken: "Ảnh, tệp mới nhận", "Attachments taken";
    rescue_files_held: "Ảnh, tệp đã có từ trước", "Attachments held before";
    rescue_quarantined: "Cách ly, chờ xem xét", "In quarantine";
    rescue_quarantined_says: "Không có gì bị bỏ đi: các thay đổi này được giữ nguyên cùng lý do.", "Nothing is thrown away: these changes are kept with their reason.";
    rescue_files_refused: "Ảnh, tệp không nhận", "Attachments not taken";
    rescue_reason: "Lý do", "Reason";
    rescue_count: "Số lượng", "Number";
    rescue_next: "Nội dung mới nhận hiện ở các trang của đơn vị đó sau ít giây.", "What was taken is on that unit's pages within seconds.";
    rescue_not_a_file: "Đây không phải tệp cứu hộ. Chọn tệp do ứng dụng Kiểu Mẫu xuất ra.", "This is not a rescue file. Choose the one that the app wrote.";
    rescue_version: "Tệp do ứng dụng mới hơn ghi. Giữ tệp và báo quản trị nâng cấp máy chủ.", "A newer app wrote it. Keep it and ask the administrator to upgrade the server.";
    rescue_another_server: "Tệp dành cho một máy chủ khác. Nộp ở máy chủ mà điện thoại đó đã đăng ký.", "It is for another server. Hand it in where that phone is enrolled.";
    rescue_damaged: "Tệp bị cắt hoặc bị thay đổi. Chép lại hoặc xuất lại từ điện thoại.", "It was cut or changed. Copy it again, or write it again on the phone.";
    rescue_malformed: "Tệp mở được nhưng nội dung sai quy cách. Giữ tệp và báo quản trị.", "It opens, and breaks the format. Keep it and tell the administrator.";
    rescue_unknown_phone: "Điện thoại ghi tệp này không đăng ký ở đây.", "The phone that wrote it is not enrolled here.";
    rescue_too_large: "Tệp lớn hơn mức nhận.", "It is larger than is taken.";
    refused_malformed: "bản ghi hỏng", "a broken record";
    refused_unsealed: "không có chữ ký hợp lệ", "no valid seal";
    refused_sequence: "số thứ tự không khớp", "its number does not follow";
    refused_forged_birth: "giả mạo bản khởi tạo", "a forged beginning";
    refused_not_allowed: "không thuộc đơn vị của điện thoại", "not of the phone's unit";
    refused_phone_revoked: "điện thoại đã bị thu hồi trước khi gửi", "the phone was revoked before it was sent";
    refused_document_full: "hồ sơ đã đầy", "the document is full";
    refused_too_many_waiting: "quá nhiều thay đổi chờ phần trước", "too many wait for an earlier one";
    refused_quarantine_full: "điện thoại này đã có quá nhiều bản ghi bị giữ lại; bản ghi vẫn ở trên máy", "too much of this phone is kept already; it stays on the phone";
    refused_wrong_kind: "không phải ảnh, PDF, video MP4 hay ghi âm M4A", "no picture, PDF, MP4 video or M4A sound recording";
    refused_hash_mismatch: "không đúng như đã ghi", "not the file that was recorded";
    refused_incomplete: "thiếu phần cuối", "lacks its end";
    refused_otherwise: "lý do khác", "another reason";
    withheld_not_a_change: "không phải một thay đổi", "not a change";
    withheld_not_canonical: "viết không đúng dạng chuẩn", "not in its one form";
    withheld_does_not_apply: "không khớp với hồ sơ", "does not fit its document";
    withheld_lacks_an_ancestor: "dựa trên phần đã bị giữ lại", "builds on what was withheld";
    withheld_not_its_kind: "làm hỏng cấu trúc hồ sơ", "breaks the document's form";
    withheld_breaks_a_rule: "trái quy tắc ghi", "breaks a rule";
    withheld_another_name: "ghi dưới tên người khác", "written in another's name";
    withheld_points_elsewhere: "sửa phần mà máy viết chưa thấy", "changes what its phone had not seen";
    withheld_takes_a_record_away: "xoá bản ghi của hồ sơ", "takes a record away";
    withheld_track_malformed: "lộ trình hỏng", "a broken track";
    withheld_worker: "không đọc được an toàn", "not safe to read";

    quarantine: "Bản ghi bị giữ lại", "Quarantine";
    quarantine_says_chief: "Những gì máy chủ không nhận hoặc không cho hiện. Không gì bị xoá. Mở nội dung sẽ được ghi vào nhật ký truy cập.",
        "What the server did not take, or does not show. Nothing is deleted. Opening one is written in the access log.";
    quarantine_says_admin: "Những gì máy chủ không nhận hoặc không cho hiện. Không gì bị xoá. Quản trị chỉ thấy lý do; chỉ huy của đơn vị mở nội dung.",
        "What the server did not take, or does not show. Nothing is deleted. You see reasons only; the unit's chief opens the content.";
    quarantine_empty: "Không có bản ghi nào bị giữ lại", "Nothing is in quarantine";
    quarantine_empty_says: "Bản ghi hiện ở đây khi máy chủ không nhận được, kèm lý do.", "What the server cannot take appears here with its reason.";
    quarantine_reason: "Lý do", "Reason";
    quarantine_refused: "không nhận", "refused";
    quarantine_withheld: "đã nhận, không hiện", "received, withheld";
    quarantine_admitted: "đã nhận lại", "taken later";
    quarantine_received: "Nhận lúc", "Received";
    quarantine_size: "Dung lượng", "Size";
    quarantine_open: "Mở", "Open";
    quarantine_whose: "Chỉ huy được mở", "Whose chief may open it";
    quarantine_route: "Chuyển", "Route";
    quarantine_content: "Nội dung", "Content";
    quarantine_admit: "Nhận vào hồ sơ", "Let it in";
    quarantine_admit_says: "Nhận mọi bản ghi mà thiết bị đã thu hồi này viết trong hồ sơ này. Việc nhận được ghi vào nhật ký truy cập và không rút lại được.",
        "Lets in everything that this revoked phone wrote in this document. That is written in the access log and cannot be undone.";
    quarantine_noted: "Lần mở này đã được ghi vào nhật ký truy cập.", "This reading was written in the access log.";
    quarantine_field: "Trường", "Field";
    quarantine_value: "Giá trị", "Value";
    quarantine_unreadable: "Không đọc được an toàn. Bản gốc vẫn được giữ nguyên; nâng cấp máy chủ rồi thử lại bằng kieumau quarantine retry.",
        "Not safe to read. The bytes are kept as they came; upgrade the server and try again by kieumau quarantine retry.";

    audit: "Nhật ký truy cập", "Access log";
    day: "Ngày", "Day";
    everybody: "Mọi người", "Everybody";
    deed: "Việc", "Deed";
    subject: "Đối tượng", "Subject";
    reference: "Danh mục của đơn vị", "The unit's reference";
    detail: "Chi tiết", "Detail";
    no_deeds: "Chưa có việc nào được ghi", "Nothing was written yet";
    no_deeds_say: "Mỗi lần đăng nhập, đọc một ca hay quyết định đều ghi một dòng ở đây.", "Each sign-in, reading and decision writes a row here.";

    what_is_safe: "Điều chắc chắn", "What is safe";
    what_to_do: "Nên làm", "What to do";
    problem_id: "Mã sự cố", "Problem id";
    copy: "Sao chép", "Copy";
    to_start: "Về trang đầu", "To the first page";
    nothing_changed: "Không có gì bị thay đổi hay mất.", "Nothing was changed or lost.";
    no_page: "Không có trang này", "There is no such page";
    no_page_happened: "Địa chỉ sai, hoặc nội dung không thuộc phần bạn được xem.", "The address is wrong, or its content is not yours to see.";
    no_page_todo: "Về trang đầu và tìm trong danh sách. Nếu cần quyền xem, hỏi chỉ huy đơn vị.", "Go to the first page and look in the list. If you need access, ask your chief.";
    forbidden: "Bạn không được làm việc này", "You may not do this";
    forbidden_happened: "Vai trò của bạn không cho phép, hoặc biểu mẫu được gửi từ một trang khác.", "Your role does not allow it, or the form was sent from another site.";
    forbidden_todo: "Nếu việc này thuộc phần bạn, hỏi quản trị về vai trò.", "If this is your task, ask the administrator about your role.";
    changed: "Nội dung đã thay đổi", "It was changed";
    changed_happened: "Có người vừa thay đổi mục này trước bạn.", "Somebody changed it just before you.";
    changed_todo: "Quay lại, tải lại trang và xem bản mới nhất.", "Go back, load the page again and look at the newest.";
    too_many: "Thử quá nhiều lần", "Too many attempts";
    too_many_happened: "Có quá nhiều lần thử trong thời gian ngắn.", "There were too many attempts in a short time.";
    too_many_todo: "Chờ ít phút rồi thử lại.", "Wait some minutes and try again.";
    busy: "Máy chủ đang bận", "The server is busy";
    busy_happened: "Máy chủ chưa làm được việc này ngay bây giờ.", "The server cannot do this right now.";
    busy_todo: "Chờ một phút rồi thử lại.", "Wait a minute and try again.";
    invalid: "Yêu cầu không hợp lệ", "The request is not valid";
    invalid_happened: "Một ô trong biểu mẫu hoặc địa chỉ chưa đúng.", "A field of the form or the address breaks a rule.";
    invalid_todo: "Quay lại, sửa ô đó và gửi lần nữa.", "Go back, mend that field and send again.";
    failed: "Máy chủ gặp lỗi", "The server failed";
    failed_happened: "Lỗi ở phía chúng tôi. Nguyên nhân đã được ghi lại dưới mã bên dưới.", "The fault is ours. Its cause is written down under the id below.";
    failed_safe: "Những gì đã nhận trước đó vẫn còn nguyên. Việc vừa làm có thể chưa được ghi.", "What was received before is intact. What you just did may not be written.";
    failed_todo: "Thử lại. Nếu vẫn lỗi, gửi mã này cho quản trị.", "Try again. If it fails again, give the id to the administrator.";

    officer: "Cán bộ", "Officer";
    chief: "Chỉ huy", "Chief";
    appraiser: "Cán bộ thẩm định", "Appraiser";
    admin: "Quản trị", "Administrator";
    auditor: "Thanh tra", "Auditor";
    proof_gps: "định vị", "position";
    proof_qr: "mã QR", "QR";
    proof_nfc: "thẻ NFC", "NFC";
    proof_hand: "tự bấm", "by hand";
    field_title: "Tên ca", "Title";
    field_name: "Tên", "Name";
    field_category: "Loại vụ việc", "Category";
    field_count_unit: "Đơn vị tính", "Counting unit";
    field_note: "Ghi chú", "Note";
    field_evidence_kind: "Loại minh chứng", "Kind of evidence";
    field_remark: "Ý kiến", "Remark";
    rule_required: "còn trống", "is empty";
    rule_too_long: "quá dài hoặc quá lớn", "is too long or too large";
    rule_too_small: "quá nhỏ", "is too small";
    rule_forbidden_character: "có ký tự không được dùng", "has a character that is not allowed";
    rule_unknown: "không có trong danh mục", "is not in the list";
    rule_already: "đã như vậy rồi", "is so already";
    rule_ended: "đã kết thúc", "is over";
    rule_malformed: "viết chưa đúng dạng", "is not written as it must be";
    deed_sign_in: "Đăng nhập", "Signed in";
    deed_sign_in_failed: "Đăng nhập sai", "Failed to sign in";
    deed_sign_out: "Đăng xuất", "Signed out";
    deed_patrol_read: "Đọc ca tuần tra", "Read a patrol";
    deed_evidence_read: "Đọc minh chứng", "Read evidence";
    deed_attachment_read: "Mở ảnh, tệp", "Opened a photo or file";
    deed_decision_written: "Ghi quyết định", "Decided";
    deed_decision_withdrawn: "Rút lại quyết định", "Took a decision back";
    deed_enrolment_code_issued: "Cấp mã thiết bị", "Issued a code";
    deed_enrolment_refused: "Mã thiết bị bị từ chối", "A code was refused";
    deed_phone_enrolled: "Đăng ký thiết bị", "Enrolled a phone";
    deed_phone_revoked: "Thu hồi thiết bị", "Revoked a phone";
    deed_rescue_opened: "Mở tệp cứu hộ", "Opened a rescue file";
    deed_rescue_taken: "Nhận tệp cứu hộ", "Took a rescue file";
    deed_epoch_begun: "Bắt đầu sổ ghi mới sau khi phục hồi bản sao lưu", "Began the log anew after a backup was put back";
    deed_rescue_refused: "Từ chối tệp cứu hộ", "Refused a rescue file";
    deed_quarantine_read: "Mở bản ghi bị giữ lại", "Opened something in quarantine";
    deed_quarantine_admitted: "Nhận bản ghi của thiết bị đã thu hồi", "Let in what a revoked phone wrote";
    deed_quarantine_routed: "Chuyển bản ghi bị giữ lại cho chỉ huy", "Routed something in quarantine to a chief";
    deed_person_added: "Thêm cán bộ", "Added a person";
    deed_person_disabled: "Khóa tài khoản", "Disabled a person";
    deed_person_enabled: "Mở khóa tài khoản", "Enabled a person again";
    deed_password_changed: "Đổi mật khẩu", "Changed a password";
    deed_reference_published: "Công bố danh mục", "Reference published";
    deed_checkpoint_added: "Thêm điểm chốt", "Added a checkpoint";
    deed_checkpoint_removed: "Gỡ điểm chốt", "Removed a checkpoint";
    deed_exported: "Xuất hồ sơ", "Dossier exported";
    deed_backed_up: "Ghi nhận đã sao lưu", "Backup announced";
    deed_unit_added: "Thêm đơn vị", "Added a unit";
    deed_unit_linked: "Nối đơn vị", "Linked units";
    deed_tls_key_prepared: "Chuẩn bị khóa TLS sau", "Prepared the next TLS key";
    deed_tls_key_changed: "Đổi khóa TLS", "Changed the TLS key";
    somebody: "Không rõ ai", "Somebody unknown";
    command_line: "Quản trị máy chủ", "The server's administration";
    documents: "tài liệu", "documents";
    document: "tài liệu", "document";
    log_entries: "mục của nhật ký máy chủ", "entries of the log";
    merged: "sáp nhập", "merged";
    split: "chia tách", "split";
    renamed: "đổi tên", "renamed";
    password_set: "mật khẩu mới", "a new password";
    password_removed: "không còn mật khẩu", "no password any more";
    thumbnail: "ảnh nhỏ", "small picture";
    code_unknown: "mã không có", "no such code";
    code_used: "mã đã dùng", "the code was used";
    code_expired: "mã hết hạn", "the code has expired";
    person_disabled: "tài khoản đã khóa", "the person is disabled";
    taken: "mới nhận", "taken";
    held: "đã có", "held";
    waiting: "đang chờ", "waiting";
    quarantined: "cách ly", "in quarantine";
    files: "ảnh, tệp", "files";
}

impl Words {
    /// A role.
    pub const fn role(&self, role: Role) -> &'static str {
        match role {
            Role::Officer => self.officer,
            Role::Chief => self.chief,
            Role::Appraiser => self.appraiser,
            Role::Admin => self.admin,
            Role::Auditor => self.auditor,
        }
    }

    /// A state that the list of patrols can be narrowed to.
    pub fn patrol_state(&self, word: &str) -> &'static str {
        match word {
            "unreviewed" => self.unreviewed,
            "again" => self.again,
            "returned" => self.returned,
            "approved" => self.approved,
            "going-on" => self.going_on,
            "ended" => self.ended,
            _ => self.all_states,
        }
    }

    /// What a patrol is called, or that its start, which says so, is not here.
    pub fn patrol_title(&self, title: String) -> String {
        if title.is_empty() {
            self.start_missing.to_owned()
        } else {
            title
        }
    }

    /// How a visit to a checkpoint was shown.
    pub fn proof(&self, word: &str) -> &'static str {
        match word {
            "gps" => self.proof_gps,
            "qr" => self.proof_qr,
            "nfc" => self.proof_nfc,
            _ => self.proof_hand,
        }
    }

    /// What a document is, by the word of its kind.
    pub fn kind(&self, word: &str) -> &'static str {
        match word {
            "patrol-log" => self.patrols,
            "evidence-file" => self.items,
            "review" => self.decisions,
            "reference" => self.reference,
            _ => "",
        }
    }

    /// What a person did; none for a word that is newer than this page.
    pub fn deed(&self, word: &str) -> Option<&'static str> {
        Some(match word {
            "sign-in" => self.deed_sign_in,
            "sign-in-failed" => self.deed_sign_in_failed,
            "sign-out" => self.deed_sign_out,
            "patrol-read" => self.deed_patrol_read,
            "evidence-read" => self.deed_evidence_read,
            "attachment-read" => self.deed_attachment_read,
            "decision-written" => self.deed_decision_written,
            "decision-withdrawn" => self.deed_decision_withdrawn,
            "enrolment-code-issued" => self.deed_enrolment_code_issued,
            "enrolment-refused" => self.deed_enrolment_refused,
            "phone-enrolled" => self.deed_phone_enrolled,
            "phone-revoked" => self.deed_phone_revoked,
            "rescue-opened" => self.deed_rescue_opened,
            "rescue-taken" => self.deed_rescue_taken,
            "epoch-begun" => self.deed_epoch_begun,
            "rescue-refused" => self.deed_rescue_refused,
            "quarantine-read" => self.deed_quarantine_read,
            "quarantine-admitted" => self.deed_quarantine_admitted,
            "quarantine-routed" => self.deed_quarantine_routed,
            "person-added" => self.deed_person_added,
            "person-disabled" => self.deed_person_disabled,
            "person-enabled" => self.deed_person_enabled,
            "password-changed" => self.deed_password_changed,
            "reference-published" => self.deed_reference_published,
            "checkpoint-added" => self.deed_checkpoint_added,
            "checkpoint-removed" => self.deed_checkpoint_removed,
            "exported" => self.deed_exported,
            "backed-up" => self.deed_backed_up,
            "unit-added" => self.deed_unit_added,
            "unit-linked" => self.deed_unit_linked,
            "tls-key-prepared" => self.deed_tls_key_prepared,
            "tls-key-changed" => self.deed_tls_key_changed,
            _ => return None,
        })
    }

    /// What a deed's row tells besides; none for a word that is newer than this page.
    pub fn detail(&self, word: &str) -> Option<&'static str> {
        if let Ok(role) = word.parse() {
            return Some(self.role(role));
        }
        Some(match word {
            "approved" => self.approved,
            "returned" => self.returned,
            "withdrawn" => self.taken_back,
            "merge" => self.merged,
            "split" => self.split,
            "rename" => self.renamed,
            "set" => self.password_set,
            "removed" => self.password_removed,
            "thumbnail" => self.thumbnail,
            "code-unknown" => self.code_unknown,
            "code-used" => self.code_used,
            "code-expired" => self.code_expired,
            "person-disabled" => self.person_disabled,
            "taken" => self.taken,
            "held" => self.held,
            "waiting" => self.waiting,
            "quarantined" => self.quarantined,
            "files" => self.files,
            word => return self.rescue_refusal(word),
        })
    }

    /// Why one change or attachment was not taken, or is withheld.
    pub fn refusal(&self, word: &str) -> &'static str {
        match word {
            "malformed" => self.refused_malformed,
            "unsealed" => self.refused_unsealed,
            "sequence" => self.refused_sequence,
            "forged-birth" => self.refused_forged_birth,
            "not-allowed" => self.refused_not_allowed,
            "phone-revoked" => self.refused_phone_revoked,
            "document-full" => self.refused_document_full,
            "too-many-waiting" => self.refused_too_many_waiting,
            "quarantine-full" => self.refused_quarantine_full,
            "wrong-kind" => self.refused_wrong_kind,
            "hash-mismatch" => self.refused_hash_mismatch,
            "file-incomplete" => self.refused_incomplete,
            "not-a-change" => self.withheld_not_a_change,
            "not-canonical" => self.withheld_not_canonical,
            "does-not-apply" => self.withheld_does_not_apply,
            "lacks-an-ancestor" => self.withheld_lacks_an_ancestor,
            "not-its-kind" => self.withheld_not_its_kind,
            "breaks-a-rule" => self.withheld_breaks_a_rule,
            "another-name" => self.withheld_another_name,
            "points-elsewhere" => self.withheld_points_elsewhere,
            "takes-a-record-away" => self.withheld_takes_a_record_away,
            "track-malformed" => self.withheld_track_malformed,
            "worker-died" | "worker-too-slow" | "writer-kills-workers" => self.withheld_worker,
            _ => self.refused_otherwise,
        }
    }

    /// Why a rescue file as a whole is not taken; none for what is not about the file.
    pub fn rescue_refusal(&self, word: &str) -> Option<&'static str> {
        Some(match word {
            "not-a-rescue-file" => self.rescue_not_a_file,
            "rescue-version" => self.rescue_version,
            "rescue-another-server" => self.rescue_another_server,
            "rescue-damaged" => self.rescue_damaged,
            "rescue-malformed" => self.rescue_malformed,
            "rescue-unknown-phone" => self.rescue_unknown_phone,
            "too-large" => self.rescue_too_large,
            _ => return None,
        })
    }

    /// A place in a document: its last name in words, or the path itself where a page has no word for it.
    pub fn field(&self, path: &str) -> String {
        let mut names = path.rsplit('/');
        let word = names.find_map(|name| self.field_word(name));
        word.map_or_else(|| path.to_owned(), str::to_owned)
    }

    fn field_word(&self, name: &str) -> Option<&'static str> {
        Some(match name {
            "title" => self.field_title,
            "name" => self.field_name,
            "sign_in" => self.sign_in_name,
            "selection" => self.dossiers,
            "leader" => self.leader,
            "team" => self.team,
            "forces" => self.forces,
            "vehicles" => self.vehicles,
            "track" => self.track,
            "started_at_ms" => self.started,
            "ended_at_ms" => self.ended_at,
            "visits" => self.visits,
            "pauses" => self.pauses,
            "attachments" => self.photos,
            "observations" => self.observations,
            "category" => self.field_category,
            "count" => self.count,
            "count_unit" => self.field_count_unit,
            "note" => self.field_note,
            "items" => self.items,
            "evidence_kind" => self.field_evidence_kind,
            "summary" => self.summary,
            "document_number" => self.document_number,
            "issued_on" => self.issued_on,
            "issued_by" => self.issued_by,
            "signed_by" => self.signed_by,
            "record_number" => self.record_number,
            "handed_over_to" => self.handed_over_to,
            "remark" => self.field_remark,
            "from" => self.from,
            "to" => self.to,
            "position" => self.place,
            "day" => self.day,
            _ => return None,
        })
    }

    /// A broken rule and where.
    pub fn broken(&self, invalid: &Invalid) -> String {
        let rule = match invalid.rule {
            Rule::Required | Rule::Empty => self.rule_required,
            Rule::TooLong | Rule::TooLarge => self.rule_too_long,
            Rule::TooSmall => self.rule_too_small,
            Rule::ForbiddenCharacter => self.rule_forbidden_character,
            Rule::Unknown => self.rule_unknown,
            Rule::Already => self.rule_already,
            Rule::Ended => self.rule_ended,
            _ => self.rule_malformed,
        };
        format!("{}: {rule}", self.field(&invalid.field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_called_by_its_innermost_name() {
        let path = "observations/019ab2c4-0000-7000-8000-000000000000/note";
        assert_eq!(VIETNAMESE.field(path), VIETNAMESE.field_note);
        assert_eq!(
            ENGLISH.field("observations/019ab2c4-0000-7000-8000-000000000000"),
            ENGLISH.observations
        );
        assert_eq!(ENGLISH.field("something_new"), "something_new");
    }

    #[test]
    fn a_broken_rule_says_where_and_what() {
        let invalid = Invalid::new("remark", Rule::Required);
        assert_eq!(VIETNAMESE.broken(&invalid), "Ý kiến: còn trống");
    }
}
